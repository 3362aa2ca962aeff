// The command line as a shell meets it: what it prints, where, and with which exit status.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkRunning, inspect, lockPath, lockSync } from '../dist/index.js';
import { parseCommand, UsageError } from '../src/cli/args.js';
import { Actor } from './support/actor.js';
import { requireProgram, requireRoot, requireSecondUser } from './support/requires.js';
import { CLI, cli, type Finished, run, start, TERMINAL } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const ISO_TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
const EVIL = 'x\x1b]0;owned\x07\x1b[2J\r\b\x7f\u009b31m\u202e\u2028y';
// What a terminal could obey; a line's own end is fine.
const UNPRINTABLE = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const POLL = { timeout: 10_000, interval: 10 };
const AS_NOBODY = ['--reuid', '65534', '--clear-groups', process.execPath, CLI];

/** A directory, as the API and as the command line want it. */
function here() {
  const directory = freshDirectory();
  return { directory, at: ['--directory', directory] };
}

/** A program that holds the lock until it is told to stop; it ignores SIGTERM if wanted. */
async function holder(directory: string, script = '', ...args: string[]) {
  const program = ['sh', '-c', `${script}\necho ready; read x`, ...args];
  const running = start(
    process.execPath,
    [CLI, 'run', 'bot', '--directory', directory, '--', ...program],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  await running.says('ready');
  return running;
}

/** Command lines as rows of a table. */
const lines = (...table: string[][]) => table.map((args) => [args] as const);

function expectUsageError(end: Finished) {
  expect(end).toMatchObject({ status: 64, stdout: '' });
  expect(end.stderr).toMatch(/^kernel-lock: [^\n]+\n$/);
}

describe('check', () => {
  test('says NOT RUNNING with status 1, and creates nothing', async () => {
    const { directory, at } = here();
    const end = await cli('check', 'bot', ...at);
    expect(end).toMatchObject({ status: 1, stdout: "Application 'bot': NOT RUNNING\n" });
    expect(readdirSync(directory)).toEqual([]);
  });

  test('describes the holder with status 0', async () => {
    const { directory, at } = here();
    using _held = lockSync('bot', { directory, metadata: { mode: 'production' } });
    const end = await cli('check', 'bot', ...at);
    expect(end.status).toBe(0);
    const lines = end.stdout.trimEnd().split('\n');
    const wanted = [
      "Application 'bot': RUNNING",
      `📍 Running instance PID: ${process.pid}, lock held for \\d+ s`,
      'Instance details:',
      `  pid=${process.pid}`,
      `  started=${ISO_TIME}`,
      `  executable=${process.execPath}`,
      '  argv=.+',
      `  cwd=${process.cwd()}`,
      `  user=${userInfo().username}`,
      '  metadata=\\{"mode":"production"\\}',
      '  Process status: [\\w ]+',
      '  CPU: \\d+\\.\\d%',
      '  Memory: \\d+\\.\\d MB',
    ];
    expect(lines).toEqual(wanted.map((line) => expect.stringMatching(new RegExp(`^${line}$`))));
  });

  test('--json gives the whole status', async () => {
    const { directory, at } = here();
    const free = await cli('bot', '--check', ...at, '--json');
    expect(free.status).toBe(1);
    const path = join(directory, 'bot.lock');
    expect(JSON.parse(free.stdout)).toMatchObject({ name: 'bot', path, held: false, holders: [] });

    using _held = lockSync('bot', { directory, metadata: [1] });
    const held = await cli('--json', ...at, '--check', 'bot');
    expect(held.status).toBe(0);
    expect(JSON.parse(held.stdout)).toMatchObject({
      name: 'bot',
      path,
      held: true,
      shared: false,
      holders: [
        {
          pid: process.pid,
          acquiredAt: expect.stringMatching(ISO_TIME),
          processStartedAt: expect.stringMatching(ISO_TIME),
          metadata: [1],
          source: 'kernel',
        },
      ],
    });
  });

  test('names every reader of a shared lock', async () => {
    const { directory, at } = here();
    const actor = await Actor.start();
    await actor.lock('bot', { directory, shared: true });
    using _own = lockSync('bot', { directory, shared: true });
    const { status, stdout } = await cli('check', 'bot', ...at);
    expect(status).toBe(0);
    expect(stdout).toContain(`PID: ${process.pid}`);
    expect(stdout).toContain(`PID: ${actor.pid}`);
  });

  test('does not say "not running" because nobody reads what it prints', async () => {
    const { directory, at } = here();
    using _held = lockSync('bot', { directory });
    const args = ['-c', 'read go; exec "$@"', 'sh', process.execPath, CLI, 'check', 'bot', ...at];
    const { child, finished } = start('sh', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    await new Promise((resolve) => child.stdout?.once('close', resolve).destroy());
    child.stdin?.end('go\n');
    const { status, stderr } = await finished;
    expect(status).not.toBe(1);
    expect(stderr).not.toMatch(/^ +at /m);
  });
});

describe('in a directory that this user may not look into', () => {
  test('no command claims that the lock is free', async (context) => {
    requireSecondUser(context);
    const { directory, at } = here();
    const secret = join(directory, 'secret');
    mkdirSync(secret, { mode: 0o700 });
    at[1] = secret;
    using _held = lockSync('bot', { directory: secret });
    for (const args of [
      ['check', 'bot'],
      ['kill', 'bot'],
      ['wait', 'bot'],
    ]) {
      const end = await run('setpriv', [...AS_NOBODY, ...args, ...at]);
      expect.soft(end, args[0]).toMatchObject({ status: 77, stdout: '' });
    }
  });
});

describe('kill', () => {
  test('says NOT RUNNING with status 1, and creates nothing', async () => {
    const { directory, at } = here();
    const end = await cli('kill', 'bot', ...at);
    expect(end).toMatchObject({ status: 1, stdout: "Application 'bot': NOT RUNNING\n" });
    expect(readdirSync(directory)).toEqual([]);
  });

  test.each([[['kill', 'bot']], [['bot', '--kill']]])(
    '%j asks with SIGTERM, and returns with status 0 when the lock is free',
    async (kill) => {
      const { directory, at } = here();
      const { pid, finished } = await holder(directory);
      const end = await cli(...kill, ...at);
      expect(end).toMatchObject({
        status: 0,
        stdout: `Application 'bot': stopped (PID ${pid})\n`,
        stderr: '',
      });
      expect(checkRunning('bot', { directory })).toBe(false);
      expect((await finished).status).toBe('SIGTERM');
    },
  );

  test('gives up with status 3 after --timeout SECONDS, and --force ends it', async () => {
    const { directory, at } = here();
    const { pid, finished } = await holder(directory, "trap '' TERM");
    const refused = await cli('kill', 'bot', ...at, '--timeout', '0.1');
    expect(refused).toMatchObject({ status: 3, stdout: '' });
    expect(refused.stderr).toMatch(new RegExp(`^.*still running; PID ${pid}.*--force.*\\n$`));
    expect(checkRunning('bot', { directory })).toBe(true);

    const forced = await cli('bot', '--kill', '--force', ...at);
    expect(forced.status).toBe(0);
    expect((await finished).status).toBe('SIGKILL');
  });

  test('--json tells the outcome', async () => {
    const { directory, at } = here();
    const none = await cli('kill', 'bot', ...at, '--json');
    expect(none.status).toBe(1);
    expect(JSON.parse(none.stdout)).toEqual({
      name: 'bot',
      outcome: 'none',
      holders: [],
      remaining: [],
      refused: [],
      successors: [],
      unknown: [],
    });

    const { pid } = await holder(directory, "trap '' TERM");
    const running = await cli('kill', 'bot', ...at, '--json', '--timeout=0');
    expect(running.status).toBe(3);
    expect(JSON.parse(running.stdout)).toMatchObject({ outcome: 'running', holders: [{ pid }] });

    const gone = await cli('bot', '--kill', ...at, '--json', '--force');
    expect(gone.status).toBe(0);
    expect(JSON.parse(gone.stdout)).toMatchObject({ outcome: 'gone', holders: [{ pid }] });
  });

  test("answers 3 where the holder is another user's", async (context) => {
    requireSecondUser(context);
    const name = freshName();
    using held = lockSync(name);
    const end = await run('setpriv', [...AS_NOBODY, 'kill', name]);
    expect(end).toMatchObject({ status: 3, stdout: '' });
    expect(end.stderr).toContain(`may not signal PID ${process.pid}`);
    expect(held.held).toBe(true);
  });
});

describe('wait', () => {
  test('returns 0 at once when nobody holds, silently, and creates nothing', async () => {
    const { directory, at } = here();
    expect(await cli('wait', 'bot', ...at)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readdirSync(directory)).toEqual([]);
  });

  test('returns 0 when the lock is freed, having printed no decoration into a pipe', async () => {
    const { directory, at } = here();
    const held = lockSync('bot', { directory });
    const { finished } = start(process.execPath, [CLI, 'wait', 'bot', ...at]);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    held.release();
    expect(await finished).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test.each(['0', '.05'])('returns 75 after --timeout %s', async (seconds) => {
    const { directory, at } = here();
    using held = lockSync('bot', { directory });
    const end = await cli('wait', 'bot', '--timeout', seconds, ...at);
    expect(end).toMatchObject({ status: 75, stdout: '' });
    expect(end.stderr).toMatch(/^.*still running\n$/);
    expect(held.held).toBe(true);
  });

  test('waits for readers too', async () => {
    const { directory, at } = here();
    using _held = lockSync('bot', { directory, shared: true });
    expect((await cli('wait', 'bot', '--timeout', '0', ...at)).status).toBe(75);
  });

  test('--json tells whether it is free, and how long that took', async () => {
    const { directory, at } = here();
    const free = await cli('wait', 'bot', '--json', ...at);
    expect(JSON.parse(free.stdout)).toEqual({
      name: 'bot',
      free: true,
      waitedMs: expect.any(Number),
    });

    using _held = lockSync('bot', { directory });
    const end = await cli('wait', 'bot', '--timeout', '0.1', '--json', ...at);
    expect(end).toMatchObject({ status: 75, stderr: '' });
    const { free: freed, waitedMs } = JSON.parse(end.stdout);
    expect(freed).toBe(false);
    expect(waitedMs).toBeGreaterThanOrEqual(100);
  });

  test.each([
    ['80 columns', 'stty cols 80;'],
    ['unknown width', ''],
  ])('shows on a terminal of %s for whom it waits and how long', async (_, stty) => {
    const { directory, at } = here();
    const { pid } = await holder(directory, '', EVIL);
    const command = `${stty} '${process.execPath}' '${CLI}' wait bot --timeout 0.05 ${at.join(' ')}`;
    const { stdout } = await run('script', ['-qec', command, '/dev/null']);
    expect(stdout).toContain(`⏳ Waiting for 'bot', held by PID ${pid}`);
    expect(stdout).toContain(': 0 s\x1b[?7h'); // however long that command line is
    // Its own carriage returns and erasures aside, nothing that a terminal would obey.
    expect(stdout.replaceAll('\r', '').replaceAll(/\p{Cc}\[(?:K|\?7[lh])/gu, '')).not.toMatch(
      UNPRINTABLE,
    );
  });
});

describe('on a terminal that is', () => {
  test.for(['closed', 'stopped'])(
    '%s while it waits, run runs all the same',
    async (how, context) => {
      requireProgram(context, 'python3');
      const { directory, at } = here();
      const held = lockSync('bot', { directory });
      const ran = join(directory, 'ran');
      const command = [process.execPath, CLI, 'run', 'bot', '-w', ...at, '--', 'touch', ran];
      const running = start('python3', [TERMINAL, how, ...command]);
      await running.says(/shown \d+\n/);
      held.release();
      expect((await running.finished).status).toBe(0);
      expect(existsSync(ran)).toBe(true);
    },
  );
});

describe('on a terminal, where the lock table can not be read', () => {
  test('run waits all the same', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { at } = here();
    const command = `'${process.execPath}' '${CLI}' run bot -w 5 ${at.join(' ')} -- echo ran`;
    const masked = `mount --bind /dev/null /proc/locks; exec script -qec "${command}" /dev/null`;
    const { status, stdout } = await run('unshare', ['--mount', 'sh', '-c', masked]);
    expect(stdout).toMatch(/ran\r\n$/);
    expect(status).toBe(0);
  });
});

describe('list', () => {
  test('says so when nothing is held', async () => {
    const { directory, at } = here();
    writeFileSync(join(directory, 'stale.lock'), ' {}');
    const end = await cli('list', ...at);
    expect(end).toMatchObject({ status: 0, stdout: 'No lock is held here.\n', stderr: '' });
    expect(JSON.parse((await cli('list', '--json', ...at)).stdout)).toEqual([]);
  });

  test('shows the held locks of that directory, by name, and no others', async () => {
    const { directory, at } = here();
    using _elsewhere = lockSync('elsewhere', { directory: freshDirectory() });
    using _b = lockSync('b-reader', { directory, shared: true });
    using _a = lockSync('a-writer', { directory });
    lockSync('released', { directory }).release();
    writeFileSync(join(directory, 'foreign.txt'), '');
    writeFileSync(join(directory, 'bad name.lock'), '');

    const { status, stdout } = await cli('list', ...at);
    expect(status).toBe(0);
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^NAME +MODE +PID +USER +HELD FOR +CPU +MEMORY +WAITING +COMMAND$/);
    expect(rows).toEqual([
      expect.stringMatching(new RegExp(`^a-writer +exclusive +${process.pid} +\\S+ +\\d+ s +.+`)),
      expect.stringMatching(new RegExp(`^b-reader +shared +${process.pid} +\\S+ +\\d+ s +.+`)),
    ]);

    const json = JSON.parse((await cli('list', '--json', ...at)).stdout);
    expect(json).toMatchObject([
      { name: 'a-writer', held: true, shared: false, holders: [{ pid: process.pid }] },
      { name: 'b-reader', held: true, shared: true, holders: [{ pid: process.pid }] },
    ]);
  });
});

describe('path', () => {
  test('prints what lockPath returns, whatever the working directory and the environment', async () => {
    const name = freshName();
    const { directory, at } = here();
    const env = {
      PATH: process.env.PATH,
      HOME: '/nowhere',
      TMPDIR: '/nowhere',
      XDG_STATE_HOME: '/x',
    };
    const print = async (...args: string[]) => {
      const options = { cwd: directory, env };
      return (await run(process.execPath, [CLI, 'path', name, ...args], options)).stdout;
    };
    expect(await print()).toBe(`/tmp/${name}.lock\n`);
    expect(await print('--scope', 'machine')).toBe(`${lockPath(name)}\n`);
    expect(await print('--scope=user')).toBe(`${lockPath(name, { scope: 'user' })}\n`);
    expect(await print(...at)).toBe(`${join(directory, name)}.lock\n`);
    expect(JSON.parse(await print('--json'))).toEqual({ name, path: lockPath(name) });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('help', () => {
  test.each(['run', 'check', 'kill', 'wait', 'list', 'path'])('%s --help', async (command) => {
    const end = await cli(command, '--help');
    expect(end).toMatchObject({ status: 0, stderr: '' });
    expect(end.stdout).toMatch(new RegExp(`^kernel-lock ${command}\\b`));
    for (const option of ['--json', '--scope', '--directory']) expect(end.stdout).toContain(option);
    const call = parseCommand([command, '--help']);
    expect(parseCommand([command, 'bot', '-h'])).toEqual(call);
    expect(parseCommand(['help', command])).toEqual(call);
  });

  test('of run names its own exit statuses', async () => {
    const { stdout } = await cli('run', '--help');
    for (const status of ['75', '76', '126', '127']) expect(stdout).toContain(status);
  });

  test('of the whole names every command', async () => {
    const general = await cli('--help');
    expect(general).toMatchObject({ status: 0, stderr: '' });
    for (const word of [
      'run',
      'check',
      'kill',
      'wait',
      'list',
      'path',
      '--check',
      '--kill',
      '64',
    ]) {
      expect(general.stdout).toContain(word);
    }
    for (const args of [['-h'], ['help'], ['bot', '--kill', '--help']]) {
      expect(parseCommand(args)).toEqual(parseCommand(['--help']));
    }
    expect(await cli('help', 'constructor')).toEqual(general);
  });
});

describe('a usage error', () => {
  test.each(
    lines(
      [],
      ['bot'],
      ['check', 'one', 'two'],
      ['list', 'bot'],
      ['kill', 'bot', '--timeout', 'soon'],
      ['run', 'bot', '-E', '256', '--', 'true'],
      ['path', 'bot', '--scope', 'user', '--directory', '/tmp'],
      ['constructor', 'bot'],
      ['one\ntwo'],
    ),
  )('is one line and status 64: %j', async (args) => {
    expectUsageError(await cli(...args));
  });

  test.each(
    lines(
      ['--json'],
      ['bot', '--list'],
      ['bot', '--check', '--kill'],
      ['bot', '--check', '--force'],
      ['bot', '--check', '--timeout', '1'],
      ['--check'],
      ['--kill'],
      ['check'],
      ['check', 'bot', '--force'],
      ['check', 'bot', '--json=yes'],
      ['check', 'bot', '--postgres', ''],
      ['check', '--postgres', '', 'bot'],
      ['run', 'bot', '--postgres=', '--', 'true'],
      ['check', 'bot', '--', 'true'],
      ['check', 'bot', '--scope', 'galaxy'],
      ['check', 'bot', '--scope'],
      ['check', 'bot', '--directory'],
      ['check', 'bot', '--no.such.option'],
      ['kill', 'bot', '--timeout', '-1'],
      ['kill', 'bot', '--timeout='],
      ['kill', 'bot', '--timeout', '1e3'],
      ['wait', 'bot', '--timeout', '0x10'],
      ['wait', 'bot', '--timeout', 'Infinity'],
      ['wait', 'bot', '--timeout', '2147484'],
      ['wait', 'bot', '--force'],
      ['path'],
      ['run'],
      ['run', 'bot'],
      ['run', 'bot', '--'],
      ['run', '--', 'true'],
      ['run', 'bot', 'true'],
      ['run', 'bot', '-n', '-w', '--', 'true'],
      ['run', 'bot', '-s', '-x', '--', 'true'],
      ['run', 'bot', '-w', '-5', '--', 'true'],
      ['run', 'bot', '--wait=soon', '--', 'true'],
      ['run', 'bot', '-w', '1.2.3', '--', 'true'],
      ['run', 'bot', '-E', '--', 'true'],
      ['run', 'bot', '-E', '-1', '--', 'true'],
      ['run', 'bot', '-E', 'x', '--', 'true'],
      ['constructor'],
      ['check', 'bot', '--scope', EVIL],
      ['check', 'bot', `--${EVIL}`],
      ['check', 'bot', '-\x1b'],
      ['wait', 'bot', '--timeout', EVIL],
      ['run', 'bot', '-E', EVIL, '--', 'true'],
      [EVIL],
    ),
  )('is found before anything is done: %j', (args) => {
    const refusal = () => parseCommand(args);
    expect(refusal).toThrow(UsageError);
    expect(refusal).toThrow(/^.+$/);
    expect(refusal).not.toThrow(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  test('is an empty URL, as of a variable that is not set, but none is left out', async () => {
    const end = await cli('check', 'bot', '--postgres', '');
    expectUsageError(end);
    expect(end.stderr).toContain('--postgres got an empty URL');
    for (const args of [
      ['check', '--postgres', 'bot'],
      ['check', 'bot', '--postgres'],
      ['run', 'bot', '--postgres', '--', 'true'],
    ]) {
      expect(parseCommand(args)).toMatchObject({ name: 'bot', postgres: '' });
    }
  });

  test.each(
    lines(
      ['check', ''],
      ['kill', '../x'],
      ['wait', 'a/b'],
      ['path', 'con'],
      ['run', 'a'.repeat(201), '--', 'true'],
      ['a b', '--check'],
      ['a\nb', '--kill'],
      ['check', EVIL],
    ),
  )('is a bad name: %j', async (args) => {
    const end = await cli(...args);
    expectUsageError(end);
    expect(end.stderr).not.toMatch(UNPRINTABLE);
  });

  test.each(
    lines(
      ['check', 'bot', '--directory', ''],
      ['kill', 'bot', '--directory', 'relative'],
      ['wait', 'bot', '--directory', './x'],
      ['path', 'bot', '--directory', '../x'],
      ['list', '--directory', '~/x'],
      ['run', 'bot', '--directory', 'x', '--', 'true'],
    ),
  )('is a directory that is not absolute: %j', async (args) => {
    expectUsageError(await cli(...args));
  });

  test.each(
    lines(
      ['check', 'postgres://u:open-sesame@h/d'],
      ['run', 'postgres://u:open-sesame@h/d', '--', 'true'],
      ['postgres://u:open-sesame@h/d', '--kill'],
      ['postgres://u:open-sesame@h/d'],
      ['check', 'bot', '--postgres://u:open-sesame@h/d'],
      ['wait', 'bot', '--timeout', 'postgres://u:open-sesame@h/d'],
      ['run', 'bot', '-E', 'postgres://u:open-sesame@h/d', '--', 'true'],
      ['check', 'bot', '--scope', 'postgres://u:open-sesame@h/d'],
    ),
  )('shows no password of a URL in a wrong place: %j', async (args) => {
    const end = await cli(...args);
    expectUsageError(end);
    expect(end.stderr).not.toContain('sesame');
    expect(end.stderr).toContain('a URL');
  });

  test('in the input is told as JSON with --json', async () => {
    const end = await cli('check', '../x', '--json');
    expect(end).toMatchObject({ status: 64, stdout: '' });
    expect(JSON.parse(end.stderr).error).toMatchObject({ code: 'LOCK_INVALID_NAME' });
  });
});

test.each([
  ['constructor', '--check'],
  ['toString', '--check'],
  ['check', 'constructor'],
  ['check', 'run'],
])('any name may be asked for: %s %s', async (...args) => {
  const { at } = here();
  const name = args.find((arg) => !/check/.test(arg));
  expect(await cli(...args, ...at)).toMatchObject({
    status: 1,
    stdout: `Application '${name}': NOT RUNNING\n`,
  });
});

describe('nothing that could steer a terminal is printed', () => {
  test('of what a holder says of itself', async () => {
    const { directory, at } = here();
    const cwd = join(directory, EVIL);
    mkdirSync(cwd);
    const program = `
      import { lockSync } from '${new URL('../dist/index.js', import.meta.url)}';
      const [directory, evil] = process.argv.slice(1);
      lockSync('bot', { directory, metadata: { [evil]: evil } });
      console.log('ready');
      process.stdin.resume();`;
    const args = ['--input-type=module', '-e', program, directory, EVIL];
    const options = { cwd, stdio: ['pipe', 'pipe', 'pipe'] as ['pipe', 'pipe', 'pipe'] };
    await start(process.execPath, args, options).says('ready');

    const texts = await Promise.all([
      cli('check', 'bot', ...at),
      cli('list', ...at),
      cli('run', 'bot', ...at, '--', 'true'),
    ]);
    for (const { stdout, stderr } of texts) {
      expect(stdout + stderr).toContain('owned');
      expect(stdout + stderr).not.toMatch(UNPRINTABLE);
    }
    const jsons = await Promise.all([
      cli('check', 'bot', '--json', ...at),
      cli('list', '--json', ...at),
      cli('run', 'bot', '--json', ...at, '--', 'true'),
    ]);
    for (const { stdout, stderr } of jsons) {
      const text = stdout === '' ? stderr : stdout;
      const [status] = [JSON.parse(text)].flat();
      const holder = status.holder ?? status.holders[0];
      expect(holder).toMatchObject({ cwd, metadata: { [EVIL]: EVIL } });
      expect(holder.argv.at(-1)).toBe(EVIL);
      expect.soft(text).not.toMatch(/(?!\n)\p{Cc}/u);
    }
  });

  test('of a path, or of the name of a program that is not there', async () => {
    const directory = join(freshDirectory(), `${EVIL} '`);
    mkdirSync(directory);
    const at = ['--directory', directory];
    using _held = lockSync('bot', { directory });
    const refused = await cli('run', 'bot', ...at, '--', 'true');
    expect(refused.status).toBe(75);
    expect(refused.stderr).not.toMatch(UNPRINTABLE);
    const missing = await cli('run', 'other', ...at, '--', `./${EVIL}`);
    expect(missing.status).toBe(127);
    expect(missing.stderr).not.toMatch(UNPRINTABLE);
  });
});
