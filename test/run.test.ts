// `kernel-lock run`: a program under a lock is the same program, and the lock lasts as long as it does.
import type { SpawnOptions } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkRunning, inspect, lockSync, tryLock } from '../dist/index.js';
import { CLI, run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };
const NODE = process.execPath;

/** The command line up to the program. */
function under(directory: string, ...flags: string[]): string[] {
  return [CLI, 'run', 'bot', '--directory', directory, ...flags, '--'];
}

function startLocked(directory: string, program: string[], options: SpawnOptions = {}) {
  return start(NODE, [...under(directory), ...program], options);
}

const runLocked = (directory: string, ...program: string[]) =>
  startLocked(directory, program).finished;

/** Runs the same program with and without a lock. */
async function both(program: string[], options: SpawnOptions = {}) {
  const [file, ...args] = program as [string, ...string[]];
  const direct = await run(file, args, options);
  const locked = await startLocked(freshDirectory(), program, options).finished;
  return { direct, locked };
}

/** A program that holds the lock until its stdin ends. */
async function holding(directory: string, ...flags: string[]) {
  const running = start(
    NODE,
    [...under(directory, ...flags), 'sh', '-c', 'echo ready; read x', 'argument one'],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  await running.says('ready');
  return running;
}

describe('the program', () => {
  test('has the pid that was started, and its parent', async () => {
    const { pid, finished } = startLocked(freshDirectory(), ['sh', '-c', 'echo $$ $PPID']);
    expect(await finished).toMatchObject({ status: 0, stdout: `${pid} ${process.pid}\n` });
  });

  test('gets its arguments as they are', async () => {
    const args = ['', ' ', "'", '"', '$HOME', '*', '\\', '--', '-n', '--help', 'ä\n', '\x1b'];
    const { stdout } = await runLocked(freshDirectory(), 'printf', '%s\\0', ...args);
    expect(stdout.split('\0').slice(0, -1)).toEqual(args);
  });

  test('gets arguments that are no UTF-8, as file names may be', async () => {
    const script = `exec "$@" printf %s "$(printf 'a\\377b')"`;
    const args = ['-c', `(${script}) | od -An -tx1`, 'sh', NODE, ...under(freshDirectory())];
    expect((await run('sh', args)).stdout.trim()).toBe('61 ff 62');
  });

  test('reads all of stdin, and writes to stdout and stderr itself', async () => {
    const input = randomBytes(1 << 20);
    const { child, finished } = startLocked(
      freshDirectory(),
      ['sh', '-c', 'echo problem >&2; exec sha256sum'],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    child.stdin?.end(input);
    const hash = createHash('sha256').update(input).digest('hex');
    expect(await finished).toEqual({ status: 0, stdout: `${hash}  -\n`, stderr: 'problem\n' });
  });

  test('has the working directory and the environment of who started it', async () => {
    const env = { PATH: process.env.PATH, ODD: 'a\nb=c', EMPTY: '' };
    const options = { cwd: realpathSync(freshDirectory()), env };
    const { direct, locked } = await both(['sh', '-c', 'pwd; exec env -0'], options);
    expect(locked).toEqual(direct);
  });

  test('is looked up in PATH, and may be a script without a first line', async () => {
    const directory = freshDirectory();
    writeFileSync(join(directory, 'plain-script'), 'echo "script $1"; exit 5', { mode: 0o755 });
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
    const end = await startLocked(freshDirectory(), ['plain-script', 'one'], { env }).finished;
    expect(end).toEqual({ status: 5, stdout: 'script one\n', stderr: '' });
  });
});

describe('the exit status', () => {
  test.each([0, 1, 75, 255])('%i is the program’s own', async (status) => {
    expect((await runLocked(freshDirectory(), 'sh', '-c', `exit ${status}`)).status).toBe(status);
  });

  test.each([
    ['TERM', 143],
    ['KILL', 137],
    ['PIPE', 141],
    ['XFSZ', 153],
    ['INT', 130],
    ['HUP', 129],
  ])('of a program that dies of SIG%s is the signal, %i for a shell', async (signal, status) => {
    const program = ['sh', '-c', `kill -${signal} $$`];
    expect((await runLocked(freshDirectory(), ...program)).status).toBe(`SIG${signal}`);
    const shell = ['-c', '"$@"; echo $?', 'sh', NODE, ...under(freshDirectory()), ...program];
    expect((await run('sh', shell)).stdout).toBe(`${status}\n`);
  });

  test('is 127 for a program that is not there, in one line', async () => {
    const directory = freshDirectory();
    for (const program of ['no-such-program', './no-such-program', '']) {
      const end = await runLocked(directory, program);
      expect(end).toMatchObject({ status: 127, stdout: '' });
      expect(end.stderr).toMatch(/^kernel-lock: .*not found\n$/);
    }
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('is 126 for what can not be executed, in one line', async () => {
    const directory = freshDirectory();
    const plain = join(directory, 'plain');
    writeFileSync(plain, 'true', { mode: 0o644 });
    for (const program of [plain, directory]) {
      const end = await runLocked(directory, program);
      expect(end).toMatchObject({ status: 126, stdout: '' });
      expect(end.stderr).toMatch(/^kernel-lock: .*can't be executed.*\n$/);
    }
    expect(checkRunning('bot', { directory })).toBe(false);
  });
});

describe('a conflict', () => {
  test.each([
    [[], 75],
    [['-n'], 75],
    [['--nonblock', '-E', '9'], 9],
    [['--conflict-exit-code=0'], 0],
    [['-w', '0.05'], 75],
    [['-w.05', '-E', '9'], 9],
    [['--wait=0'], 75],
    [['-s'], 75],
  ])('with the flags %j exits with %i, and the program is not run', async (flags, status) => {
    const directory = freshDirectory();
    using held = lockSync('bot', { directory });
    const trace = join(directory, 'trace');
    const end = await run(NODE, [...under(directory, ...flags), 'touch', trace]);
    expect(end).toMatchObject({ status, stdout: '' });
    expect(existsSync(trace)).toBe(false);
    const lines = end.stderr.trimEnd().split('\n');
    expect(lines[0]).toBe('❌ Another instance is already running');
    expect(lines[1]).toBe(`📍 Running instance PID: ${process.pid}`);
    expect(lines.at(-1)).toBe(`💡 To stop it: kernel-lock bot --directory ${directory} --kill`);
    expect(end.stderr).not.toMatch(/delet|remov|unlink/i);
    expect(held.held).toBe(true);
  });

  test('is told as JSON with --json', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const end = await run(NODE, [...under(directory, '--json'), 'true']);
    expect(end).toMatchObject({ status: 75, stdout: '' });
    expect(JSON.parse(end.stderr)).toMatchObject({
      name: 'bot',
      held: true,
      holder: { pid: process.pid },
    });
  });

  test('with itself: a lock is not taken twice by nesting', async () => {
    const directory = freshDirectory();
    expect((await runLocked(directory, NODE, ...under(directory), 'true')).status).toBe(75);
  });
});

describe('readers', () => {
  test('run together, and keep a writer out', async () => {
    const directory = freshDirectory();
    const one = await holding(directory, '-s');
    const two = await holding(directory, '--shared');
    const { shared, holders } = inspect('bot', { directory });
    expect(shared).toBe(true);
    expect(holders.map(({ pid }) => pid).sort()).toEqual([one.pid, two.pid].sort());
    for (const flag of ['-x', '--exclusive']) {
      expect((await run(NODE, [...under(directory, flag), 'true'])).status).toBe(75);
    }
  });
});

describe('a waiting run', () => {
  test.each([[['-w']], [['--wait']], [['-w', '600']], [['--wait=600', '-s']]])(
    'with %j starts the program when the lock is freed, silently',
    async (flags) => {
      const directory = freshDirectory();
      const held = lockSync('bot', { directory });
      const { pid, finished } = start(NODE, [...under(directory, ...flags), 'sh', '-c', 'echo $$']);
      await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
      held.release();
      expect(await finished).toEqual({ status: 0, stdout: `${pid}\n`, stderr: '' });
      expect(checkRunning('bot', { directory })).toBe(false);
    },
  );

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('is ended by %s', async (signal) => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const { child, finished } = start(NODE, [...under(directory, '-w'), 'true']);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    child.kill(signal);
    expect((await finished).status).toBe(signal);
    expect(inspect('bot', { directory }).waiters).toBe(0);
  });
});

describe('what the program finds is as without a lock:', () => {
  // As seen by a program that no shell comes before.
  const STATE = ['cat', '/proc/self/status', '/proc/self/limits'];
  const state = (text: string) =>
    text.match(/^(Sig(Pnd|Blk|Ign|Cgt)|ShdPnd|Umask|Cap\w+|NoNewPrivs|Seccomp|Max ).*/gm);

  test('signals and limits', async () => {
    const { direct, locked } = await both(STATE);
    expect(state(direct.stdout)?.length).toBeGreaterThan(15);
    expect(state(locked.stdout)).toEqual(state(direct.stdout));
  });

  test('signals and limits, after a wait', async () => {
    const directory = freshDirectory();
    const held = lockSync('bot', { directory });
    const { finished } = start(NODE, [...under(directory, '-w'), ...STATE]);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    held.release();
    const direct = await run(STATE[0] as string, STATE.slice(1));
    expect(state((await finished).stdout)).toEqual(state(direct.stdout));
  });

  test('the soft limit of open files, which a shell has lowered', async () => {
    const script = 'ulimit -S -n 256; "$@"; exit';
    const program = ['sh', '-c', 'ulimit -S -n; ulimit -H -n'];
    const direct = await run('sh', ['-c', script, 'sh', ...program]);
    const locked = await run('sh', [
      '-c',
      script,
      'sh',
      NODE,
      ...under(freshDirectory()),
      ...program,
    ]);
    expect(direct.stdout).toMatch(/^256\n/);
    expect(locked).toEqual(direct);
  });

  test('blocking and non-blocking standard streams', async () => {
    const files = [0, 1, 2].map((fd) => `/proc/self/fdinfo/${fd}`);
    const { direct, locked } = await both(['cat', ...files], { stdio: ['pipe', 'pipe', 'pipe'] });
    const flags = (text: string) => text.match(/^flags:.*/gm);
    expect(flags(direct.stdout)).toHaveLength(3);
    expect(flags(locked.stdout)).toEqual(flags(direct.stdout));
  });

  test('open descriptors, but for the lock', async () => {
    const { direct, locked } = await both(
      ['find', '/proc/self/fd', '-type', 'l', '-printf', '%f %l\n'],
      {
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      },
    );
    const descriptors = (text: string) =>
      text
        .trim()
        .split('\n')
        .filter((line) => !/ \/proc\/|\.lock$/.test(line))
        .map((line) => line.replace(/\[\d+\]/, ''))
        .sort();
    expect(descriptors(direct.stdout)).toContain('3 socket:');
    expect(descriptors(locked.stdout)).toEqual(descriptors(direct.stdout));
    expect(locked.stdout.match(/\/bot\.lock$/gm)).toHaveLength(1);
  });
});

describe('an inherited descriptor', () => {
  test('3 is passed on, in both directions', async () => {
    const { child, finished } = startLocked(
      freshDirectory(),
      ['sh', '-c', 'read word <&3; echo "got $word" >&3'],
      { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
    );
    const pipe = child.stdio[3] as import('node:net').Socket;
    let answer = '';
    pipe.setEncoding('utf8').on('data', (text) => {
      answer += text;
    });
    const closed = once(pipe, 'close');
    pipe.write('hello\n');
    expect(await finished).toMatchObject({ status: 0, stderr: '' });
    await closed;
    expect(answer).toBe('got hello\n');
  });

  test('that is a copy of stdout is passed on', async () => {
    const script = '("$@" 3>&1) | cat';
    const program = ['sh', '-c', 'echo copied >&3'];
    const end = await run('sh', ['-c', script, 'sh', NODE, ...under(freshDirectory()), ...program]);
    expect(end).toMatchObject({ stdout: 'copied\n', stderr: '' });
  });

  test('pair that is the two ends of one pipe, as make gives to its jobs, is passed on', async () => {
    // A pipe's read end opened anew for writing is its other end.
    const script = ': | { exec 3</proc/self/fd/0 4>/proc/self/fd/0 </dev/null; exec "$@"; }';
    const program = ['sh', '-c', 'echo token >&4; read token <&3; echo "$token"'];
    const end = await run('sh', ['-c', script, 'sh', NODE, ...under(freshDirectory()), ...program]);
    expect(end).toEqual({ status: 0, stdout: 'token\n', stderr: '' });
  });

  test('of an outer lock is passed on: two locks, one program', async () => {
    const directory = freshDirectory();
    const inner = [CLI, 'run', 'inner', '--directory', directory, '--'];
    const program = [NODE, ...inner, 'sh', '-c', 'echo ready; read x'];
    const { pid, says } = startLocked(directory, program, { stdio: ['pipe', 'pipe', 'pipe'] });
    await says('ready');
    for (const name of ['bot', 'inner']) {
      expect(inspect(name, { directory }).holders).toMatchObject([{ pid }]);
    }
  });

  test('of a channel to a Node parent is passed on', async () => {
    const { child, finished } = startLocked(
      freshDirectory(),
      [NODE, '-e', 'process.send?.("hello"); process.disconnect?.()'],
      { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    );
    const messages: unknown[] = [];
    child.on('message', (message) => messages.push(message));
    await finished;
    expect(messages).toEqual(['hello']);
  });
});

describe('the lock', () => {
  test('is held while the program runs, and free when it ends', async () => {
    const directory = freshDirectory();
    const { child, finished } = await holding(directory);
    expect(tryLock('bot', { directory })).toBeNull();
    child.stdin?.end('go on\n');
    expect((await finished).status).toBe(0);
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('is free when the program was killed', async () => {
    const directory = freshDirectory();
    const { child, finished } = await holding(directory);
    child.kill('SIGKILL');
    expect((await finished).status).toBe('SIGKILL');
    const again = tryLock('bot', { directory });
    expect(again).not.toBeNull();
    again?.release();
  });

  test('is held on by what the program leaves behind', async () => {
    const directory = freshDirectory();
    const script = 'sleep 60 >/dev/null 2>&1 & echo $!';
    const { status, stdout } = await runLocked(directory, 'sh', '-c', script);
    const child = Number(stdout);
    let alive = true;
    const end = () => {
      if (alive) process.kill(child, 'SIGKILL');
      alive = false;
    };
    onTestFinished(end);
    expect(status).toBe(0);
    // It closes its standard output a moment before it becomes that program.
    await expect
      .poll(() => inspect('bot', { directory }).holders, POLL)
      .toMatchObject([{ pid: child, argv: ['sleep', '60'] }]);
    end();
    await expect.poll(() => checkRunning('bot', { directory }), POLL).toBe(false);
  });

  test('is told with the program, not with what started it', async () => {
    const directory = freshDirectory();
    const { pid } = await holding(directory);
    expect(inspect('bot', { directory })).toMatchObject({
      held: true,
      shared: false,
      holders: [
        {
          pid,
          executable: realpathSync('/bin/sh'),
          argv: ['sh', '-c', 'echo ready; read x', 'argument one'],
          cwd: process.cwd(),
          acquiredAt: expect.any(Date),
          source: 'kernel',
        },
      ],
    });
  });

  test('excludes flock(1), and flock(1) excludes it', async () => {
    const directory = freshDirectory();
    const file = join(directory, 'bot.lock');
    const { child, finished } = await holding(directory);
    expect((await run('flock', ['-n', file, 'true'])).status).toBe(1);
    child.stdin?.end('go on\n');
    await finished;
    const other = start('flock', ['-n', file, 'sh', '-c', 'echo ready; read x'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await other.says('ready');
    expect((await runLocked(directory, 'true')).status).toBe(75);
    other.child.stdin?.end('go on\n');
    await other.finished;
    expect((await runLocked(directory, 'true')).status).toBe(0);
  });

  test('that can not be had is no conflict: 73 for an unsafe path, 77 without a directory', async () => {
    const directory = freshDirectory();
    mkdirSync(join(directory, 'bot.lock'));
    const unsafe = await runLocked(directory, 'echo', 'ran');
    expect(unsafe).toMatchObject({ status: 73, stdout: '' });
    const missing = await runLocked(join(directory, 'missing'), 'echo', 'ran');
    expect(missing).toMatchObject({ status: 77, stdout: '' });
    for (const { stderr } of [unsafe, missing]) expect(stderr).toMatch(/^kernel-lock: .+\n$/);
  });
});
