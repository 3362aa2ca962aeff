// A lock file may belong to a hostile user, who then writes its owner record: it misleads nobody
// into hitting a stranger, and says nothing in the kernel's name.
import type { SpawnOptions } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { describe, expect, onTestFinished, type TestContext, test } from 'vitest';
import { inspect, killRunning, lockPath, lockSync } from '../dist/index.js';
import { startToken } from '../src/linux.js';
import { Actor } from './support/actor.js';
import { reap, startAs } from './support/known.js';
import {
  AS_NOBODY,
  NOBODY,
  requirePython,
  requireRoot,
  requireSecondUser,
} from './support/requires.js';
import { CLI, type Running, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

/** The hostile user; NOBODY is who is to be misled. */
const HOSTILE = NOBODY - 1;
const AS_HOSTILE = AS_NOBODY.map((word) => (word === String(NOBODY) ? String(HOSTILE) : word));

const PIPES: SpawnOptions = { stdio: ['pipe', 'pipe', 'pipe'] };

/** Starts a program as that user. */
function startFor(user: string[], ...command: string[]) {
  const [program = '', ...args] = [...user, ...command];
  return start(program, args, PIPES);
}

const as = (user: string[], ...command: string[]) => startFor(user, ...command).finished;

/** A directory as /tmp, with a lock file of the hostile user's. */
async function hostileFile() {
  const directory = freshDirectory();
  chmodSync(directory, 0o1777);
  const path = lockPath('bot', { directory });
  await as(AS_HOSTILE, 'touch', path);
  return { directory, path };
}

function forge(path: string, record: object) {
  const json = JSON.stringify(record);
  return as(AS_HOSTILE, 'sh', '-c', 'printf " %s" "$0" > "$1"', json, path);
}

describe('a lock whose caller has died, and whose pid another process has', () => {
  const HOLDER = `import fcntl, os, signal, sys
f = open(sys.argv[1], 'a+'); fcntl.flock(f, fcntl.LOCK_EX)
child = os.fork()
if child == 0:
    os.close(1); os.close(2); signal.pause()
print('child=%d' % child)`;
  // As an ssh-agent: nobody but root may look into it, not even its own user.
  const SECRETIVE = `import ctypes, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print('on', flush=True); sys.stdin.read()`;

  async function recycled(python: string, path: string): Promise<Running> {
    for (let round = 0; round < 50; round++) {
      const holder = startFor(AS_HOSTILE, python, '-c', HOLDER, path);
      const child = reap(Number(/child=(\d+)/.exec((await holder.finished).stdout)?.[1]));
      const stranger = await startAs(holder.pid, [...AS_NOBODY, python, '-c', SECRETIVE]);
      if (stranger !== undefined) {
        await stranger.says('on');
        return stranger;
      }
      child.end();
      await expect
        .poll(() => inspect('bot', { directory: path.replace(/\/[^/]*$/, '') }).held)
        .toBe(false);
    }
    throw new Error('others took each pid first');
  }

  test('a record that names that process gets it no signal', async (context) => {
    requireSecondUser(context);
    const python = requirePython(context, 'ctypes', AS_NOBODY);
    const { directory, path } = await hostileFile();
    const stranger = await recycled(python, path);
    const token = startToken(stranger.pid);
    expect(token).toMatch(/:\d+$/);
    await forge(path, { version: 1, pid: stranger.pid, startToken: token });
    const kill = [CLI, 'kill', 'bot', '--directory', directory, '--force', '--timeout', '1'];
    const end = await as(AS_NOBODY, process.execPath, ...kill);
    expect(end).toMatchObject({ status: 3, stdout: '' });
    expect(end.stderr).toContain('still running');
    expect(stranger.child.signalCode).toBeNull();
    stranger.child.stdin?.end();
    expect((await stranger.finished).status).toBe(0);
  });
});

describe('a record of a hostile user', () => {
  async function forged(context: TestContext, changes: object) {
    requireSecondUser(context);
    const { directory, path } = await hostileFile();
    const held = lockSync('bot', { directory });
    onTestFinished(() => held.release());
    await forge(path, { version: 1, pid: process.pid, startToken: 'forged', ...changes });
    const other = await Actor.start({ prefix: AS_NOBODY });
    return other.inspect('bot', { directory });
  }

  test('does not make others believe that the holder has ended', async (context) => {
    const { held, holders, unknown } = await forged(context, {});
    expect({ held, holders }).toEqual({ held: true, holders: [] });
    expect(unknown).toEqual([expect.stringContaining('Who holds it is not certain')]);
  });

  test('lends nobody its words', async (context) => {
    const words = { cwd: '/forged', metadata: 'forged', executable: '/forged', hostname: 'forged' };
    const token = startToken(process.pid);
    const { holders } = await forged(context, { ...words, startToken: token });
    expect(holders).toMatchObject([{ pid: process.pid, source: 'kernel' }]);
    expect(JSON.stringify(holders)).not.toContain('forged');
  });

  test('names somebody who does not hold it: nobody is hit, nobody else is shown', async (context) => {
    requireRoot(context);
    const { directory, path } = await hostileFile();
    const bystander = start('sleep', ['60']);
    const holder = await Actor.start();
    await holder.lockSync('bot', { directory });
    await forge(path, { pid: bystander.pid, startToken: startToken(bystander.pid) });
    expect(inspect('bot', { directory }).holders.map(({ pid }) => pid)).toEqual([holder.pid]);
    expect(await killRunning('bot', { directory, force: true })).toBe(true);
    expect(await holder.ended).toBe('SIGKILL');
    expect(bystander.child.signalCode).toBeNull();
  });
});

// Who may lock a file may read it, and so its record, also when its holder has ended.
describe('what a holder says of itself', () => {
  test('is for everybody on the machine, in a directory that all can enter', async (context) => {
    requireSecondUser(context);
    const directory = freshDirectory();
    const path = lockPath('bot', { directory });
    const holder = await Actor.start({ cwd: directory });
    await holder.lockSync('bot', { directory, metadata: 'for all' });
    const other = await Actor.start({ prefix: AS_NOBODY });
    const [seen] = (await other.inspect('bot', { directory })).holders;
    expect(seen).toMatchObject({ cwd: directory, metadata: 'for all' });
    await holder.kill();
    expect((await as(AS_NOBODY, 'cat', path)).stdout).toContain('"metadata":"for all"');
  });

  test('is for that user alone, in scope user', async (context) => {
    requireRoot(context);
    const name = freshName();
    using held = lockSync(name, { scope: 'user', metadata: 'mine' });
    onTestFinished(() => rmSync(held.path));
    const end = await as(AS_NOBODY, 'cat', held.path);
    expect(end).toMatchObject({ stdout: '', stderr: expect.stringContaining('Permission denied') });
  });
});
