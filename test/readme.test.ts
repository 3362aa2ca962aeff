// The README's JavaScript is run, and what it says of the package is compared with the package.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as api from '../dist/index.js';
import { list } from '../dist/index.js';
import { requireProgram } from './support/requires.js';
import { CLI, cli, REPOSITORY, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
const samples = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1] as string);

describe('the README', () => {
  test('has samples', () => {
    expect(samples.length).toBeGreaterThanOrEqual(2);
  });

  test.each(samples.map((sample, index) => [index, sample] as const))(
    'sample %i runs',
    async (_, sample) => {
      // The samples' names are users' names; the test has its own.
      const renamed = sample
        .replaceAll('trading_bot', freshName())
        .replaceAll('import_prices', freshName())
        .replaceAll("from 'kernel-lock'", `from '${new URL('../dist/index.js', import.meta.url)}'`);
      const file = join(freshDirectory(), 'sample.mjs');
      writeFileSync(file, renamed);
      expect(await start(process.execPath, [file]).finished).toMatchObject({
        status: 0,
        stderr: '',
      });
    },
  );

  test('names every error code and class', () => {
    for (const [name, value] of Object.entries(api)) {
      if (typeof value === 'function' && value.prototype instanceof Error) {
        expect(readme, name).toContain(`\`${name}`);
      }
    }
  });

  test('names every function and class', () => {
    for (const name of Object.keys(api)) expect(readme).toContain(name);
  });
});

describe('the transcripts', () => {
  const blocks = [...readme.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map((match) => match[2]);
  const transcript = (start: string) => blocks.find((block) => block?.startsWith(start)) ?? '';

  // What is another one each time, as a word that says what it is.
  const normal = (text: string) =>
    text
      .trimEnd()
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      .replaceAll(/\d+ (?:d \d+ h|h \d+ min|min \d+ s|s)\b/g, 'DURATION')
      .replaceAll(/\d+\.\d(?=%| MB)/g, 'FIGURE')
      .replaceAll(/(PID: |pid=|(?:exclusive|shared) +)\d+/g, '$1PID')
      .replaceAll(/(PID +)\S+( +(?:\?|DURATION))/g, '$1USER$2')
      .replaceAll(/((?:executable|cwd|user)=).*/g, '$1…')
      .replaceAll(/(Process status: )[\w ]+/g, '$1STATUS')
      .replaceAll(/ +/g, ' ');

  async function machine() {
    const directory = freshDirectory();
    const library = new URL('../dist/index.js', import.meta.url);
    writeFileSync(
      join(directory, 'bot.js'),
      `import('${library}').then(({ SingleInstance }) => {
        new SingleInstance('trading_bot', { directory: ${JSON.stringify(directory)} });
        process.stdin.resume();
      });`,
    );
    const bot = () =>
      start(process.execPath, ['bot.js', '--mode', 'production'], {
        argv0: 'node',
        cwd: directory,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
    await bot().says('Lock acquired');
    return { directory, bot };
  }

  test('of the refused start is what is printed', async () => {
    const { directory, bot } = await machine();
    const { status, stderr } = await bot().finished;
    expect(status).toBe(1);
    expect(normal(stderr.replace(` --directory ${directory}`, ''))).toEqual(
      normal(transcript('❌')),
    );
  });

  test('of list is what is printed', async (context) => {
    for (const program of ['flock', 'python3']) requireProgram(context, program);
    const { directory } = await machine();
    const pipes = { cwd: directory, stdio: ['pipe', 'pipe', 'pipe'] as ['pipe', 'pipe', 'pipe'] };
    const backup = start('flock', [`${directory}/backup.lock`, 'sleep', '3600'], {
      detached: true,
    });
    onTestFinished(() => void process.kill(-backup.pid, 'SIGKILL')); // flock and its child
    writeFileSync(join(directory, 'report.py'), 'print("on", flush=True)\ninput()\n');
    const at = ['--directory', directory];
    const report = ['run', 'nightly_report', ...at, '--', 'python3', 'report.py'];
    await start(process.execPath, [CLI, ...report], pipes).says('on');
    start(process.execPath, [CLI, 'wait', 'trading_bot', ...at], pipes);
    await expect
      .poll(() => list({ directory }).map(({ waiters }) => waiters), { timeout: 10_000 })
      .toEqual([0, 0, 1]);
    const { stdout } = await cli('list', ...at);
    const wanted = transcript('$ kernel-lock list\n').replace(/.*\n/, '');
    const shown = stdout.replaceAll(directory, '/tmp').replace(/\S+\/python3/, 'python3');
    expect(normal(shown)).toEqual(normal(wanted));
    // Columns in the README stand where the program puts them.
    const [head, ...rows] = wanted.split('\n');
    for (const row of rows.slice(0, 3)) {
      expect(row.slice(0, head?.indexOf('COMMAND'))).toMatch(/ {2}$/);
      expect(row[head?.indexOf('COMMAND') as number]).toMatch(/\S/);
    }
  });
});

describe('every public export', () => {
  test('has a doc comment', () => {
    const undocumented: string[] = [];
    for (const file of [
      'errors',
      'events',
      'types',
      'lock',
      'inspect',
      'terminate',
      'instance',
      'shutdown',
    ]) {
      const text = readFileSync(join(REPOSITORY, 'src', `${file}.ts`), 'utf8');
      for (const match of text.matchAll(
        /(.*)\n(export (?:async )?(?:class|function|interface|type) (\w+))/g,
      )) {
        // Overloads follow the documented one.
        const overload = (match[1] as string).endsWith(';');
        if (!/\*\/$/.test(match[1] as string) && !overload && match[3] !== 'withLock')
          undocumented.push(`${file}.ts: ${match[3]}`);
      }
    }
    expect(undocumented.filter((name) => !INTERNAL.has(name))).toEqual([]);
  });
});

const INTERNAL = new Set([
  'shutdown.ts: Shutdown',
  ...['Waited', 'Acquired', 'Released', 'Lost'].map((end) => `events.ts: tell${end}`),
]);
