// `kernel-lock list`: the table, the live view on a real terminal, and JSON as it is documented.
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspect, lockSync } from '../dist/index.js';
import { cut, displayWidth, table } from '../src/cli/table.js';
import { parseStat } from '../src/proc.js';
import type { Holder, LockStatus } from '../src/types.js';
import { Actor } from './support/actor.js';
import { requireProgram, requireRoot } from './support/requires.js';
import { CLI, cli, REPOSITORY, run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 20_000, interval: 10 };

function here() {
  const directory = freshDirectory();
  return { directory, at: ['--directory', directory] };
}

function status(name: string, holder: Partial<Holder> = {}): LockStatus {
  const unknown: Holder = {
    pid: 1,
    acquiredAt: undefined,
    processStartedAt: undefined,
    executable: undefined,
    argv: undefined,
    cwd: undefined,
    user: undefined,
    hostname: undefined,
    status: undefined,
    cpuPercent: undefined,
    memoryBytes: undefined,
    metadata: undefined,
    source: 'kernel',
  };
  const holders = [{ ...unknown, ...holder }];
  return { name, path: '', held: true, shared: false, holders, waiters: 0, unknown: [] };
}

describe('the table', () => {
  test('has a line for each holder, and tells who waits', async (context) => {
    requireProgram(context, 'flock');
    const { directory, at } = here();
    using _writer = lockSync('writer', { directory });
    const [reader, waiter] = await Promise.all([Actor.start(), Actor.start()]);
    await reader.lock('data', { directory, shared: true });
    using _shared = lockSync('data', { directory, shared: true });
    waiter.tell('lockLater', 'later', 'writer', { directory, wait: true });
    await expect.poll(() => inspect('writer', { directory }).waiters, POLL).toBe(1);
    const foreign = start(
      'flock',
      ['-F', `${directory}/other.lock`, 'sh', '-c', 'echo on; read x'],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    await foreign.says('on');

    const { stdout } = await cli('list', ...at);
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^NAME +MODE +PID +USER +HELD FOR +CPU +MEMORY +WAITING +COMMAND$/);
    const row = (name: string, mode: string, pid: number, since: string, waiting: number) =>
      expect(stdout).toMatch(
        new RegExp(
          `^${name} +${mode} +${pid} +\\S+ +${since} +\\d+\\.\\d% +\\d+\\.\\d MB +${waiting}  \\S`,
          'm',
        ),
      );
    // The file has room for one record: the last reader's.
    row('data', 'shared', process.pid, '\\d+ s', 0);
    row('data', 'shared', reader.pid, '\\?', 0);
    row('writer', 'exclusive', process.pid, '\\d+ s', 1);
    row('other', 'exclusive', foreign.pid as number, '\\?', 0);
    expect(rows.at(-1)).toMatch(
      /^\? data, other: Since when it is held is not known: no owner record/,
    );
    expect(rows).toHaveLength(6);
  });

  test('stays a table, whatever its cells hold', () => {
    const lines = table([
      status('plain', { user: 'root', argv: ['node', 'bot.js'] }),
      status('control', { user: 'a\u001b[2Jb\n\tc\u202e', argv: ['\u001b]0;x\u0007', '\r\n'] }),
      status('wide', { user: '日本語ユーザー', argv: ['한국어', '🚀'] }),
      status('marks', { user: 'e\u0301\u0301\u0301', argv: ['a\u200db'] }),
      status('long', { user: 'u'.repeat(1000), argv: ['x'.repeat(1_000_000)] }),
    ]);
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    // The last column begins at the same place of the terminal in each line.
    const starts = lines.map((line) => {
      const command = /(?: {2}WAITING| 0) {2}/.exec(line);
      return displayWidth(line.slice(0, (command?.index ?? 0) + (command?.[0].length ?? 0)));
    });
    expect(new Set(starts).size).toBe(1);
  });

  test('is cut to the width of a terminal, and only there', () => {
    const statuses = [status('wide', { argv: ['字'.repeat(100)] }), status('x'.repeat(200))];
    for (const width of [0, 1, 2, 20, 79, 80, 81]) {
      for (const line of table(statuses, width)) {
        expect(displayWidth(line), line).toBeLessThanOrEqual(width);
      }
    }
    expect(table(statuses)[1]).toContain('字'.repeat(100));
    expect(cut('日本', 3)).toBe('日…');
    expect(cut('日本', 4)).toBe('日本');
  });

  test('tells no time that a clock which was set has made impossible', () => {
    const now = Date.now();
    const at = (offset: number) => new Date(now + offset);
    const heldFor = (holder: Partial<Holder>) =>
      /exclusive +1 +\? +(\?|\d+ \w+)/.exec(table([status('bot', holder)])[1] as string)?.[1];
    expect(heldFor({ acquiredAt: at(-5500), processStartedAt: at(-9000) })).toBe('5 s');
    expect(heldFor({ acquiredAt: at(20) })).toBe('0 s');
    expect(heldFor({ acquiredAt: at(3_600_000) })).toBe('?');
    expect(heldFor({ acquiredAt: at(-3_600_000), processStartedAt: at(-1000) })).toBe('?');
  });
});

const stateOf = (pid: number) => parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.state;

/** The live view in a pseudo-terminal of its own. */
async function terminal(columns: number, rows: number, at: string[], flags = '', under = '') {
  const node = `'${process.execPath}' ${flags}`;
  const command = `stty cols ${columns} rows ${rows}; echo pid=$$; exec ${under} ${node} '${CLI}' list --watch ${at.join(' ')}`;
  const running = start('script', ['-qefc', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  running.child.stdout?.on('data', (text: string) => {
    output += text;
  });
  await running.says('\x1b[?25l');
  const pid = Number(/pid=(\d+)/.exec(output)?.[1]);
  return {
    ...running,
    pid,
    tty: readlinkSync(`/proc/${pid}/fd/0`),
    output: () => output,
    /** The lines of the last frame that was drawn to its end. */
    screen: () => {
      const frames = output.split('\x1b[H').slice(1);
      const whole = frames.filter((frame) => frame.includes('\x1b[J'));
      const text = whole.at(-1)?.split('\x1b[J')[0] ?? '';
      return text.replaceAll('\x1b[K', '').split(/[\r\n]+/);
    },
  };
}

describe('list --watch on a terminal', () => {
  test('redraws in place, follows its size, and leaves the terminal as it was', async (context) => {
    for (const program of ['script', 'stty']) requireProgram(context, program);
    const { directory, at } = here();
    const view = await terminal(70, 9, at);
    await expect.poll(() => view.screen(), POLL).toContain('No lock is held here.');
    const locks = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) =>
      lockSync(name, { directory }),
    );
    await expect.poll(() => view.screen()[0], POLL).toMatch(/^\d\d:\d\d:\d\d {2}8 locks held in/);
    const fits = (columns: number, rows: number) => {
      const lines = view.screen();
      return lines.length <= rows && lines.every((line) => displayWidth(line) <= columns);
    };
    expect(fits(70, 9)).toBe(true);
    expect(view.screen().at(-1)).toBe('… 3 more lines');

    execFileSync('stty', ['-F', view.tty, 'cols', '40', 'rows', '20']);
    await expect.poll(() => view.screen().join('\n'), POLL).toMatch(/^h +exclusive/m);
    expect(fits(40, 20)).toBe(true);
    expect(view.screen().some((line) => line.endsWith('…'))).toBe(true);

    for (const lock of locks) lock.release();
    await expect.poll(() => view.screen(), POLL).toContain('No lock is held here.');
    // In place: nothing scrolls, and the alternate screen is entered once.
    expect(view.output().split('\x1b[?1049h')).toHaveLength(2);

    view.child.stdin?.write('\x03');
    expect((await view.finished).status).toBe(130);
    expect(view.output().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
  });

  test.each(['SIGTERM', 'SIGHUP'] as const)('%s ends it as it ends others', async (signal) => {
    const { at } = here();
    const view = await terminal(80, 24, at);
    process.kill(view.pid, signal);
    expect((await view.finished).status).toBe(signal === 'SIGTERM' ? 143 : 129);
    expect(view.output().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
  });

  test('as PID 1, Ctrl-C ends it', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { at } = here();
    const view = await terminal(80, 24, at, '', 'unshare --pid --fork --kill-child --mount-proc');
    view.child.stdin?.write('\x03');
    expect((await view.finished).status).toBe(130);
    expect(view.output().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
  });

  test('two signals at once leave the terminal as it was, too', async () => {
    const { at } = here();
    const again = `process.on("removeListener", (name) => {
      if (name === "SIGINT") process.kill(process.pid, name);
    })`;
    const flags = `--import 'data:text/javascript,${encodeURIComponent(again)}'`;
    const view = await terminal(80, 24, at, flags);
    process.kill(view.pid, 'SIGINT');
    expect((await view.finished).status).toBe(130);
    expect(view.output().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
  });

  test('a terminal that knows no size is one of 80 columns', async (context) => {
    requireProgram(context, 'script');
    const { directory, at } = here();
    using _held = lockSync('bot', { directory });
    const command = `stty cols 0 rows 0; '${process.execPath}' '${CLI}' list ${at.join(' ')}`;
    expect((await run('script', ['-qec', command, '/dev/null'])).stdout).toMatch(
      /^bot +exclusive/m,
    );
    const view = await terminal(0, 0, at);
    await expect.poll(view.output, POLL).toMatch(/bot +exclusive/);
  });

  test('an error leaves the terminal as it was, too', async () => {
    const { directory, at } = here();
    const gone = join(directory, 'file');
    execFileSync('touch', [gone]);
    const command = `'${process.execPath}' '${CLI}' list --watch ${at[0]} ${gone}`;
    const end = await run('script', ['-qec', command, '/dev/null']);
    expect(end.status).toBe(77);
    // It never was another one.
    expect(end.stdout).toMatch(/^kernel-lock: Nothing can be told/);
  });

  test('so does an error that comes later', async (context) => {
    requireProgram(context, 'script');
    const { directory, at } = here();
    const view = await terminal(80, 24, at);
    rmdirSync(directory);
    writeFileSync(directory, '');
    expect((await view.finished).status).toBe(77);
    const after = view.output().split('\x1b[?1049l');
    expect(after).toHaveLength(2);
    expect(after[1]).toMatch(/^kernel-lock: Nothing can be told[^\n]*\n$/);
  });

  test('Ctrl-Z gives the terminal back, and fg takes it again', async (context) => {
    requireProgram(context, 'script');
    const { at } = here();
    const view = await terminal(80, 24, at);
    process.kill(view.pid, 'SIGTSTP');
    await expect.poll(() => stateOf(view.pid), POLL).toBe('T');
    const entered = () => {
      process.kill(view.child.pid as number, 'SIGCONT'); // script(1) stops with its program
      process.kill(view.pid, 'SIGCONT');
      return view.output().split('\x1b[?1049h').length - 1;
    };
    await expect.poll(entered, POLL).toBe(2);
    const [, between] = view.output().split('\x1b[?1049h') as [string, string];
    expect(between.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
    view.child.stdin?.write('\x03');
    let status: number | string | undefined;
    void view.finished.then((end) => {
      status = end.status;
    });
    // script(1) may have stopped once more, after what it has shown.
    const ended = () => {
      if (status === undefined) view.child.kill('SIGCONT');
      return status;
    };
    await expect.poll(ended, POLL).toBe(130);
  });
});

describe('list --watch into a pipe', () => {
  test('--json prints a document on a line whenever somebody comes or goes', async () => {
    const { directory, at } = here();
    const view = start(process.execPath, [CLI, 'list', '--watch', '--json', ...at]);
    let output = '';
    view.child.stdout?.on('data', (text: string) => {
      output += text;
    });
    const documents = () =>
      output
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    // The last one: a hand-over may be seen half-way as well, with the record not yet written.
    const last = () => {
      const [one] = (documents().at(-1) ?? []) as LockStatus[];
      return one && [one.holders[0]?.pid, one.waiters];
    };
    await expect.poll(documents, POLL).toEqual([[]]);
    const held = lockSync('bot', { directory });
    await expect.poll(last, POLL).toEqual([process.pid, 0]);
    const waiter = await Actor.start();
    waiter.tell('lockLater', 'later', 'bot', { directory, wait: true });
    await expect.poll(last, POLL).toEqual([process.pid, 1]);
    held.release();
    await expect.poll(last, POLL).toEqual([waiter.pid, 0]);
    await waiter.kill();
    await expect.poll(() => documents().at(-1), POLL).toEqual([]);
    const texts = documents().map((one) => JSON.stringify(one));
    expect(texts.filter((text, index) => text === texts[index - 1])).toEqual([]);
    view.child.kill('SIGINT');
    expect((await view.finished).status).toBe('SIGINT');
  });

  test('prints tables without decoration, and ends when nobody reads', async () => {
    const { directory, at } = here();
    const view = start(process.execPath, [CLI, 'list', '--watch', ...at]);
    await view.says('No lock is held here.\n');
    const held = lockSync('bot', { directory });
    await view.says(new RegExp(`^bot +exclusive +${process.pid} `, 'm'));
    view.child.stdout?.destroy();
    held.release();
    const { status, stdout, stderr } = await view.finished;
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).not.toMatch(/(?!\n)\p{Cc}/u);
  });
});

describe('--json', () => {
  const text = readFileSync(join(REPOSITORY, 'docs', 'json.md'), 'utf8');
  /** The keys and types that docs/json.md has below a heading. */
  const documented = (heading: string) => {
    const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
    return Object.fromEntries(
      [...section.matchAll(/^\| `(\w+)` *\| ([^|]+?) *\|/gm)].map(([, key, type]) => [key, type]),
    );
  };
  const types: Record<string, (value: unknown) => boolean> = {
    string: (value) => typeof value === 'string',
    number: (value) => typeof value === 'number',
    boolean: (value) => typeof value === 'boolean',
    time: (value) => typeof value === 'string' && new Date(value).toISOString() === value,
    'list of strings': (value) =>
      Array.isArray(value) && value.every((item) => typeof item === 'string'),
    'list of holders': (value) => Array.isArray(value),
    any: () => true,
  };
  const expectDocumented = (value: Record<string, unknown>, heading: string) => {
    const keys = documented(heading);
    for (const [key, type] of Object.entries(keys)) {
      if (Object.hasOwn(value, key)) expect(types[type as string]?.(value[key]), key).toBe(true);
    }
    const undocumented = Object.keys(value).filter((key) => !Object.hasOwn(keys, key));
    expect(undocumented).toEqual([]);
    return Object.keys(keys).filter((key) => !Object.hasOwn(value, key));
  };

  test('prints what docs/json.md documents: all of it where all is known', async () => {
    const { directory, at } = here();
    using _held = lockSync('bot', { directory, metadata: { mode: 'production' } });
    const [one] = JSON.parse((await cli('list', '--json', ...at)).stdout);
    expect(expectDocumented(one, 'Lock status')).toEqual([]);
    expect(expectDocumented(one.holders[0], 'Holder')).toEqual([]);
    const checked = JSON.parse((await cli('check', 'bot', '--json', ...at)).stdout);
    const volatile = { status: undefined, cpuPercent: undefined, memoryBytes: undefined };
    const steady = (value: LockStatus) => ({
      ...value,
      holders: value.holders.map((holder) => ({ ...holder, ...volatile })),
    });
    expect(steady(checked)).toEqual(steady(one));
  });

  test('leaves out what is not known', async (context) => {
    requireProgram(context, 'flock');
    const { directory, at } = here();
    const foreign = start('flock', ['-F', `${directory}/bot.lock`, 'sh', '-c', 'echo on; read x'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await foreign.says('on');
    const one = JSON.parse((await cli('check', 'bot', '--json', ...at)).stdout);
    expect(expectDocumented(one, 'Lock status')).toEqual([]);
    expect(expectDocumented(one.holders[0], 'Holder')).toEqual([
      'acquiredAt',
      'hostname',
      'metadata',
    ]);
    expect(one.unknown).toEqual([expect.stringContaining('Since when')]);
    const free = JSON.parse((await cli('check', 'nobody', '--json', ...at)).stdout);
    expect(expectDocumented(free, 'Lock status')).toEqual([]);
  });
});
