// What is told of a holder that could not be ended, and what is not called ended.
import { describe, expect, type TestContext, test } from 'vitest';
import { checkRunning, inspect, killRunning, tryLock } from '../dist/index.js';
import { Actor } from './support/actor.js';
import { reap } from './support/known.js';
import { AS_NOBODY, requireProgram, requireRoot, requireSecondUser } from './support/requires.js';
import { CLI, cli, REPOSITORY, type Running, run, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };
const PIPES = { stdio: ['pipe', 'pipe', 'ignore'] as ('pipe' | 'ignore')[] };

function here() {
  const directory = freshDirectory();
  return { directory, at: ['--directory', directory] };
}

async function python(context: TestContext, ...args: string[]): Promise<Running> {
  requireProgram(context, 'python3');
  const running = start('python3', args, PIPES);
  return running;
}

/** A shell script that holds the lock and says `ready`; stdin is a pipe. */
async function script(directory: string, text: string, ...flags: string[]): Promise<Running> {
  const words = ['run', 'bot', '--directory', directory, ...flags, '--', 'sh', '-c', text];
  const running = start(process.execPath, [CLI, ...words], PIPES);
  await running.says('ready\n');
  return running;
}

const statusOf = (directory: string) => inspect('bot', { directory }).holders[0]?.status;
const IGNORING = `trap '' TERM; echo ready; read x`;

describe('a holder that does not stop', () => {
  test('because it ignores SIGTERM: what --force would do', async () => {
    const { directory, at } = here();
    const { pid } = await script(directory, IGNORING);
    expect(await cli('kill', 'bot', ...at, '--timeout', '0.1')).toEqual({
      status: 3,
      stdout: '',
      stderr: `Application 'bot': still running; PID ${pid} did not stop; --force would send SIGKILL, which can not be ignored\n`,
    });
    const { code, message } = await killRunning('bot', { directory, timeout: 0 }).catch(
      (error) => error,
    );
    expect({ code, message }).toEqual({
      code: 'LOCK_TIMEOUT',
      message: `'bot' is still held: PID ${pid} did not stop; force: true would send SIGKILL, which can not be ignored`,
    });
  });

  test('because it is stopped: that SIGCONT lets it obey', async () => {
    const { directory, at } = here();
    const actor = await Actor.start();
    await actor.lock('bot', { directory });
    actor.signal('SIGSTOP');
    await expect.poll(() => statusOf(directory), POLL).toBe('stopped');
    const { stderr } = await cli('kill', 'bot', ...at, '--timeout', '0.1');
    expect(stderr).toMatch(`PID ${actor.pid} is stopped`);
    expect(stderr).toMatch(`kill -CONT ${actor.pid}; --force would send SIGKILL`);
    actor.signal('SIGCONT');
    expect(await actor.ended).toBe('SIGTERM');
  });

  test('because it is traced: that the debugger has the signal', async (context) => {
    requireProgram(context, 'gdb');
    const { directory, at } = here();
    const { pid } = await script(directory, IGNORING.replace('trap', ': '));
    const gdb = start('gdb', ['-q', '-nx', '-p', String(pid)], PIPES);
    await expect.poll(() => statusOf(directory), POLL).toBe('traced');
    const { stderr } = await cli('kill', 'bot', ...at, '--timeout', '0.1');
    expect(stderr).toMatch(`PID ${pid} is traced, and its debugger keeps SIGTERM from it`);
    expect(await cli('kill', 'bot', ...at, '--force')).toMatchObject({ status: 0 });
    gdb.child.kill('SIGKILL');
  });

  test('because it is the first process of a container: that not even --force helps inside', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { directory } = here();
    const program = `
      import { spawnSync } from 'node:child_process';
      import { lockSync } from '${new URL('../dist/index.js', import.meta.url)}';
      lockSync('bot', { directory: '${directory}' });
      for (const flags of [[], ['--force']]) {
        const words = ['${CLI}', 'kill', 'bot', '--timeout', '0.1', '--directory', '${directory}'];
        const { status, stderr } = spawnSync(process.execPath, [...words, ...flags], { encoding: 'utf8' });
        console.log(status, stderr.trim());
      }`;
    const words = [process.execPath, '--input-type=module', '-e', program];
    const { stdout } = await run('unshare', ['--pid', '--fork', '--mount-proc', ...words]);
    const line = /^3 Application 'bot': still running; PID 1 did not stop: .* from outside$/;
    expect(stdout.trim().split('\n')).toEqual([
      expect.stringMatching(line),
      expect.stringMatching(line),
    ]);
  });
});

describe('a kill with force', () => {
  test('waits until the kernel has freed the lock of one that is on its way out', async (context) => {
    const { directory, at } = here();
    const { pid, finished } = await script(directory, 'echo ready; read x');
    const tracer = await python(context, `${REPOSITORY}test/support/tracer.py`, String(pid));
    await tracer.says('traced\n');
    let settled = false;
    const killing = killRunning('bot', { directory, force: true }).finally(() => {
      settled = true;
    });
    await tracer.says('exiting\n');
    // It has got SIGKILL and runs no more, and has the lock all the same.
    const other = await cli('kill', 'bot', ...at, '--force', '--timeout', '0.2');
    expect(other).toMatchObject({ status: 3, stdout: '' });
    expect(other.stderr).toMatch(`PID ${pid} got SIGKILL and has not ended yet`);
    expect(settled).toBe(false);
    expect(tryLock('bot', { directory })).toBeNull();
    tracer.child.stdin?.end('go\n');
    expect(await killing).toBe(true);
    tryLock('bot', { directory })?.release();
    expect((await finished).status).toBe('SIGKILL');
  });

  test('that finds no descriptor left says so, and not that it is not permitted', async (context) => {
    requireProgram(context, 'strace');
    const { directory, at } = here();
    const { pid } = await script(directory, IGNORING);
    const strace = ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=pidfd_open:error=EMFILE'];
    const kill = [process.execPath, CLI, 'kill', 'bot', '--force', ...at];
    const end = await run('strace', [...strace, ...kill]);
    expect(end).toMatchObject({ status: 3, stdout: '' });
    expect(end.stderr).toMatch(`PID ${pid} could not be signalled: pidfd_open failed with EMFILE`);
    expect(checkRunning('bot', { directory })).toBe(true);
  });
});

describe('of several readers', () => {
  test("all are asked, though one is another user's; the report says which", async (context) => {
    requireSecondUser(context);
    const name = freshName();
    const [mine, first, second] = await Promise.all([
      Actor.start(),
      Actor.start({ prefix: AS_NOBODY }),
      Actor.start({ prefix: AS_NOBODY }),
    ]);
    for (const actor of [first, mine, second]) await actor.lock(name, { shared: true });
    const command = AS_NOBODY[0] as string;
    const words = [...AS_NOBODY.slice(1), process.execPath, CLI, 'kill', name];
    expect(await run(command, words)).toEqual({
      status: 3,
      stdout: '',
      stderr: `Application '${name}': still running; this user may not signal PID ${mine.pid}\n`,
    });
    expect(await Promise.all([first.ended, second.ended])).toEqual(['SIGTERM', 'SIGTERM']);
    expect(inspect(name).holders).toMatchObject([{ pid: mine.pid }]);

    const json = await run(command, [...words, '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      outcome: 'denied',
      holders: [{ pid: mine.pid }],
      remaining: [{ pid: mine.pid }],
      refused: [{ pid: mine.pid, message: 'pidfd_send_signal failed with EPERM' }],
      successors: [],
    });
  });

  test('those who ignore SIGTERM are told from those who may not be signalled', async (context) => {
    requireSecondUser(context);
    const { directory, at } = here();
    const theirs = await Actor.start();
    await theirs.lock('bot', { directory, shared: true });
    const words = [CLI, 'run', 'bot', ...at, '--shared', '--', 'sh', '-c', IGNORING];
    const deaf = start('setpriv', [...AS_NOBODY.slice(1), process.execPath, ...words], PIPES);
    await deaf.says('ready\n');
    const kill = [process.execPath, CLI, 'kill', 'bot', ...at, '--timeout', '0.1'];
    expect(await run('setpriv', [...AS_NOBODY.slice(1), ...kill])).toMatchObject({
      status: 3,
      stderr: `Application 'bot': still running; this user may not signal PID ${theirs.pid}; PID ${deaf.pid} did not stop; --force would send SIGKILL, which can not be ignored\n`,
    });
  });

  test('who joined meanwhile is told as a new instance', async () => {
    const { directory, at } = here();
    const first = await script(
      directory,
      `trap 'echo asked; read y; exit' TERM; echo ready; read x`,
      '-s',
    );
    const kill = start(process.execPath, [CLI, 'kill', 'bot', ...at]);
    await first.says('asked\n');
    const next = await Actor.start();
    await next.lock('bot', { directory, shared: true });
    first.child.stdin?.end('y\n');
    expect(await kill.finished).toEqual({
      status: 0,
      stdout: `Application 'bot': stopped (PID ${first.pid})\nA new instance has started meanwhile, and was left alone (PID ${next.pid})\n`,
      stderr: '',
    });
  });
});

describe('who holds on after the holder', () => {
  test('has died: its child is ended', async () => {
    const { directory } = here();
    const { finished, child } = await script(
      directory,
      'sleep 60 >/dev/null & echo "child $!"; echo ready',
    );
    await expect.poll(() => child.exitCode, POLL).toBe(0);
    const orphan = Number(/child (\d+)/.exec((await finished).stdout)?.[1]);
    reap(orphan);
    expect(inspect('bot', { directory }).holders).toMatchObject([{ pid: orphan }]);
    expect(await killRunning('bot', { directory })).toBe(true);
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('has become a zombie: its child is ended, and a zombie alone holds nothing', async () => {
    const { directory, at } = here();
    // The outer shell never reaps the one that acquires, forks and ends.
    const inner = `sleep 60 >/dev/null & echo "child $!"; exit`;
    const run = `'${process.execPath}' '${CLI}' run bot --directory '${directory}' -- sh -c '${inner}'`;
    const outer = start('sh', ['-c', `${run} & echo "zombie $!"; exec sleep 60`], PIPES);
    await outer.says('child ');
    await outer.says('zombie ');
    let said = '';
    outer.child.stdout?.on('data', (text) => {
      said += text;
    });
    await expect.poll(() => inspect('bot', { directory }).holders.length, POLL).toBe(1);
    const [{ pid: orphan } = { pid: 0 }] = inspect('bot', { directory }).holders;
    reap(orphan);
    expect(said).toBe('');
    expect(await killRunning('bot', { directory })).toBe(true);
    expect((await cli('kill', 'bot', ...at)).status).toBe(1);
  });

  test('its first thread has ended, and looks like a zombie: it is found, and ended', async (context) => {
    const { directory } = here();
    const holder = await python(context, `${REPOSITORY}test/support/leaderless.py`, directory);
    await holder.says('ready\n');
    await expect.poll(() => statusOf(directory), POLL).toBe('zombie');
    expect(inspect('bot', { directory }).holders).toMatchObject([{ pid: holder.pid }]);
    expect(await killRunning('bot', { directory })).toBe(true);
    expect((await holder.finished).status).toBe('SIGTERM');
  });
});
