// The holder dies, and its pid is given to somebody else, while a killer stands between two system
// calls. A PID namespace of the test's own lets it say which pid comes next.
import type { StdioOptions } from 'node:child_process';
import { describe, expect, type TestContext, test } from 'vitest';
import { lockPath } from '../dist/index.js';
import { Actor } from './support/actor.js';
import { requireProgram, requirePython, requireRoot } from './support/requires.js';
import { CLI, isAlive, REPOSITORY, run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const NAMESPACE = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const REUSE = `${REPOSITORY}test/support/reuse.mjs`;

const KILLER = `${REPOSITORY}test/support/killer.mjs`;

/** As on a kernel before 5.3. */
const WITHOUT_PIDFD = [
  ...['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pidfd_open'],
  ...['-e', 'inject=pidfd_open:error=ENOSYS'],
];

async function reuse(context: TestContext, call: string, successor: string, prefix: string[] = []) {
  requireRoot(context);
  requireProgram(context, 'unshare');
  const words = [...NAMESPACE, process.execPath, REUSE, freshDirectory(), call, successor];
  const { stdout, stderr } = await run('unshare', [...words, ...prefix]);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe.each([
  ['between the look and what is known of the holder', 'acquirerOf'],
  ['between the look and the handle', 'pinProcess'],
  ['between the last look and the signal', 'signalProcess'],
])('the pid is reused %s', (_, call) => {
  test('by a stranger, which is not hit', async (context) => {
    const end = await reuse(context, call, 'stranger');
    expect(end).toEqual({ samePid: true, lives: true, told: true });
  });

  test('by a new instance that holds the lock: it is not hit, and not taken for the first', async (context) => {
    const end = await reuse(context, call, 'instance');
    expect(end).toEqual({ samePid: true, lives: true, told: true });
  });
});

describe('on a kernel without pidfd, the pid is reused between the look and the last look', () => {
  test.for(['stranger', 'instance'])('by "%s": it is not hit', async (successor, context) => {
    requireProgram(context, 'strace');
    const end = await reuse(context, 'pinProcess', successor, WITHOUT_PIDFD);
    expect(end).toEqual({ samePid: true, lives: true, told: true });
  });
});

describe('a holder that takes turns has let go at the last look, and holds again at the next', () => {
  /** What the killer is told, once that has happened to it. */
  async function turn(actor: Actor, timeout: string) {
    const directory = freshDirectory();
    const held = await actor.lock('bot', { directory });
    const args = [KILLER, 'pinProcess,unpinProcess', directory, timeout];
    const killer = start(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    await killer.says('paused\n');
    await actor.release(held);
    killer.child.stdin?.write('.');
    await killer.says('paused\npaused\n');
    await actor.lock('bot', { directory });
    killer.child.stdin?.end('.');
    const { stdout } = await killer.finished;
    return JSON.parse(stdout.replaceAll('paused\n', ''));
  }

  test('it is signalled then', async () => {
    const actor = await Actor.start();
    expect(await turn(actor, '20000')).toBe(true);
    expect(await actor.ended).toBe('SIGKILL');
  });

  test('it is not told to have got a signal where the time is up', async () => {
    const actor = await Actor.start();
    expect(await turn(actor, '0')).toEqual({
      code: 'LOCK_TIMEOUT',
      message: `'bot' is still held: PID ${actor.pid} had let go of it each time it was to be signalled, and has acquired it again: try once more`,
    });
    expect(isAlive(actor.pid)).toBe(true);
  });
});

test('who holds on after the holder ends as it is looked at: nothing is left to refuse', async (context) => {
  const python = requirePython(context, 'fcntl');
  const directory = freshDirectory();
  // The child acquires; its parent, which the test reaps, holds on.
  const code = `import fcntl, os, signal, sys
f = open(sys.argv[1], 'a+')
child = os.fork()
if child == 0:
    fcntl.flock(f, fcntl.LOCK_EX); print('on', flush=True); signal.pause()
os.waitpid(child, 0); signal.pause()`;
  const heir = start(python, ['-c', code, lockPath('bot', { directory })]);
  await heir.says('on\n');
  const stdio: StdioOptions = ['pipe', 'pipe', 'pipe'];
  const killer = start(process.execPath, [KILLER, 'isHeir', directory], { stdio });
  await killer.says('paused\n');
  heir.child.kill('SIGKILL');
  await heir.finished;
  killer.child.stdin?.end('.');
  expect((await killer.finished).stdout).toBe('paused\ntrue\n');
});

// As after nsenter --pid, or unshare --pid without --mount-proc: what /proc calls by the holder's pid is
// another process in a system call.
test('the /proc of another PID namespace: who has the same pid in this one is not hit', async (context) => {
  requireRoot(context);
  requireProgram(context, 'unshare');
  requireProgram(context, 'flock');
  const directory = freshDirectory();
  const kill = [process.execPath, CLI, 'kill', 'bot', '--force', '--directory', directory];
  const holder = start('flock', [
    '-F',
    `${directory}/bot.lock`,
    'sh',
    '-c',
    'echo held; exec sleep 60',
  ]);
  await holder.says('held\n');
  const script = `pid=$1; shift
    for try in 1 2 3 4 5 6 7 8 9; do
      echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid; sleep 60 & stranger=$!
      if [ $stranger = $pid ]; then break; fi
      kill -9 $stranger
    done
    [ $stranger = $pid ] && echo same
    "$@"; echo $?
    kill -0 $stranger && echo lives; kill -9 $stranger`;
  const words = ['--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh'];
  const { stdout, stderr } = await run('unshare', [...words, String(holder.pid), ...kill]);
  expect(stdout).toBe('same\n3\nlives\n');
  expect(stderr).toMatch(
    /PID \d+ could not be signalled: \/proc is that of another PID namespace here/,
  );
  expect(isAlive(holder.pid)).toBe(true);
});
