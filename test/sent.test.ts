// A descriptor of a held lock can be sent to any process that accepts descriptors. Having been sent
// one must get nobody killed.
import { chmodSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, type TestContext, test } from 'vitest';
import { inspect, killRunning, lockPath } from '../dist/index.js';
import {
  AS_HOSTILE,
  AS_NOBODY,
  NOBODY,
  requireProgram,
  requirePython,
  requireRoot,
  requireSecondUser,
} from './support/requires.js';
import { CLI, type Running, run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 20_000, interval: 10 };

const RECEIVER = `import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777); s.listen()
print('ready', flush=True)
c, _ = s.accept()
socket.recv_fds(c, 1, 1)
c.send(b'.')
sys.stdin.read()`;

// Then it stays, or becomes the program that it is told.
const SENDER = `import fcntl, os, socket, sys
f = os.open(sys.argv[2], getattr(os, sys.argv[3]) | (os.O_CREAT if sys.argv[3] == 'O_RDWR' else 0), 0o644)
fcntl.flock(f, fcntl.LOCK_EX)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
socket.send_fds(s, [b'.'], [f])
s.recv(1)
os.set_inheritable(f, True)
print('sent', flush=True)
if sys.argv[4:]: os.execv(sys.argv[4], sys.argv[4:])
sys.stdin.read()`;

interface Case {
  /** As whom the one that gets the descriptor runs; root unless told. */
  receiver?: string[];
  access?: 'O_RDWR' | 'O_RDONLY';
  /** What the sender becomes. */
  program?: string[];
}

/** In a process group of its own, as services are. */
function startAs(prefix: string[], ...words: string[]): Running {
  const [command = '', ...args] = [...prefix, ...words];
  return start(command, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
}

/** The hostile user has acquired `bot`, and sent its descriptor to somebody else's process. */
async function sent(context: TestContext, directory: string, options: Case = {}) {
  const { receiver: prefix = [], access = 'O_RDWR', program = [] } = options;
  const python = requirePython(context, 'socket', AS_HOSTILE);
  const sockets = freshDirectory();
  chmodSync(sockets, 0o777);
  const socket = join(sockets, 'socket');
  const receiver = startAs(prefix, python, '-c', RECEIVER, socket);
  await receiver.says('ready');
  const path = lockPath('bot', { directory });
  const words = [python, '-c', SENDER, socket, path, access, ...program];
  const sender = startAs(AS_HOSTILE, ...words);
  await sender.says('sent');
  return { sender, receiver };
}

/** A directory as /tmp. */
function sticky(): string {
  const directory = freshDirectory();
  chmodSync(directory, 0o1777);
  return directory;
}

async function end({ child, finished }: Running): Promise<void> {
  child.stdin?.end();
  await finished;
}

async function livesOn(receiver: Running): Promise<void> {
  receiver.child.stdin?.end();
  expect((await receiver.finished).status).toBe(0);
}

const kill = (directory: string, ...flags: string[]) =>
  [process.execPath, CLI, 'kill', 'bot', '--directory', directory, ...flags] as const;
const refusalOf = ({ pid }: Running, user: string) =>
  `PID ${pid} (${user}) holds a descriptor of the lock that it did not acquire, and was left alone: end it by hand`;

describe('a process that was sent the descriptor of a lock', () => {
  test('is not killed after the sender, and the report names it', async (context) => {
    requireRoot(context);
    const directory = sticky();
    const { sender, receiver } = await sent(context, directory);
    expect(inspect('bot', { directory }).holders).toMatchObject([{ pid: sender.pid }]);
    expect(await run(...split(kill(directory)))).toEqual({
      status: 3,
      stdout: '',
      stderr: `Application 'bot': still running; ${refusalOf(receiver, 'root')}\n`,
    });
    expect((await sender.finished).status).toBe('SIGTERM');
    await livesOn(receiver);
  });

  test('is not killed when the sender has ended', async (context) => {
    requireRoot(context);
    const directory = sticky();
    const { sender, receiver } = await sent(context, directory);
    await end(sender);
    expect(inspect('bot', { directory }).holders).toMatchObject([{ pid: receiver.pid }]);
    await expect(killRunning('bot', { directory, force: true })).rejects.toMatchObject({
      code: 'LOCK_PERMISSION',
      message: `'bot' is still held: ${refusalOf(receiver, 'root')}`,
    });
    const { status, stdout } = await run(...split(kill(directory, '--force', '--json')));
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'denied',
      remaining: [{ pid: receiver.pid }],
      refused: [{ pid: receiver.pid, message: expect.stringContaining('did not acquire') }],
    });
    await livesOn(receiver);
  });

  // Root made the file, at boot; whoever may read it may lock it.
  test('is not killed though the lock file is its own user’s', async (context) => {
    requireRoot(context);
    const directory = sticky();
    writeFileSync(lockPath('bot', { directory }), '', { mode: 0o644 });
    const { sender, receiver } = await sent(context, directory, { access: 'O_RDONLY' });
    await end(sender);
    const { status, stderr } = await run(...split(kill(directory, '--force')));
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toContain(refusalOf(receiver, 'root'));
    await livesOn(receiver);
  });

  // The second as sudo does, while it asks for the password.
  test.for([
    ['is a setuid program', '/bin/sleep', [], NOBODY - 1],
    ['is root altogether', '/usr/bin/setpriv', ['--reuid', '0', 'sleep'], 0],
  ] as const)(
    'is not killed though the sender %s by now',
    async ([, original, words, real], context) => {
      requireRoot(context);
      const directory = sticky();
      const program = join(freshDirectory(), 'program');
      copyFileSync(original, program);
      chmodSync(program, 0o4755);
      const options = { program: [program, ...words, '60'] };
      const { sender, receiver } = await sent(context, directory, options);
      const uids = () => /^Uid:.*$/m.exec(readFileSync(`/proc/${sender.pid}/status`, 'utf8'))?.[0];
      await expect.poll(uids, POLL).toBe(`Uid:\t${real}\t0\t0\t0`);
      const { status, stderr } = await run(...split(kill(directory, '--force')));
      expect({ status, stderr }).toMatchObject({ status: 3 });
      expect(stderr).toContain(refusalOf(receiver, 'root'));
      expect((await sender.finished).status).toBe('SIGKILL');
      await livesOn(receiver);
    },
  );

  test('is not killed by a user who is not root, either', async (context) => {
    requireSecondUser(context);
    const directory = sticky();
    const { sender, receiver } = await sent(context, directory, { receiver: AS_NOBODY });
    await end(sender);
    const { status, stderr } = await run(...split([...AS_NOBODY, ...kill(directory, '--force')]));
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toContain(refusalOf(receiver, 'nobody'));
    await livesOn(receiver);
  });

  test('is ended where it is of the user that acquired it', async (context) => {
    requireRoot(context);
    for (const isGone of [false, true]) {
      const directory = sticky();
      const { sender, receiver } = await sent(context, directory, { receiver: AS_HOSTILE });
      if (isGone) await end(sender);
      const asked = isGone ? [receiver] : [sender, receiver];
      expect(await run(...split(kill(directory)))).toEqual({
        status: 0,
        stdout: `Application 'bot': stopped (${asked.map(({ pid }) => `PID ${pid}`).join(', ')})\n`,
        stderr: '',
      });
      for (const { finished } of asked) expect((await finished).status).toBe('SIGTERM');
    }
  });
});

test('the command of root’s flock(1) is ended after it, though others can open the lock file', async (context) => {
  requireRoot(context);
  requireProgram(context, 'flock');
  const directory = sticky();
  const path = lockPath('bot', { directory });
  const flock = startAs([], 'flock', path, 'sh', '-c', 'echo $$; exec sleep 60');
  await flock.says('\n');
  expect(statSync(path).mode & 0o044).toBe(0o044);
  const { status, stdout } = await run(...split(kill(directory)));
  const { stdout: command } = await flock.finished;
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: `Application 'bot': stopped (PID ${flock.pid}, PID ${command.trim()})\n`,
  });
});

function split(words: readonly string[]): [string, string[]] {
  const [command = '', ...args] = words;
  return [command, args];
}
