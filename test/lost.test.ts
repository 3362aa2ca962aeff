// The lock's path leads to another file, or to none, while the lock is held: its signal tells.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, type TestContext, test } from 'vitest';
import { inspect, type Lock, LockLostError, lockPath, lockSync, withLock } from '../dist/index.js';
import { Actor } from './support/actor.js';
import {
  AS_HOSTILE,
  AS_NOBODY,
  requireProgram,
  requireRoot,
  requireSecondUser,
} from './support/requires.js';
import { run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const LIBRARY = new URL('../dist/index.js', import.meta.url).href;

interface Place {
  /** `root/above/directory/bot.lock`, with `root/way` a link to `above`. */
  root: string;
  directory: string;
  path: string;
}

function place(): Place {
  const root = freshDirectory();
  const directory = join(root, 'above', 'directory');
  mkdirSync(directory, { recursive: true });
  symlinkSync('above', join(root, 'way'));
  return { root, directory, path: lockPath('bot', { directory }) };
}

const away = (path: string) => renameSync(path, `${path}.old`);

/** A link, put in the place of the old one at once. */
function repoint(link: string, target: string): void {
  symlinkSync(target, `${link}.new`);
  renameSync(`${link}.new`, link);
}

/** Resolves to the milliseconds until the abort, counted from the change. */
async function lose(lock: Lock, change: () => void): Promise<number> {
  const { signal } = lock;
  expect(signal.aborted).toBe(false);
  const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
  change();
  const changed = performance.now();
  await aborted;
  const elapsed = performance.now() - changed;
  expect(signal.reason).toBeInstanceOf(LockLostError);
  expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', lockName: 'bot', path: lock.path });
  expect(lock.held).toBe(false);
  lock.release();
  return elapsed;
}

/** The median of five: a look once a second would not come out like that, a busy machine does. */
async function expectSoon(once: () => Promise<number>): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) times.push(await once());
  expect(times.sort((a, b) => a - b)[2]).toBeLessThan(100);
}

function mount(...words: string[]): void {
  const target = words.at(-1) as string;
  execFileSync('mount', words);
  onTestFinished(() => {
    while (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${target} `))
      execFileSync('umount', ['-l', target]);
  });
}

describe('the signal aborts within 100 ms when', () => {
  const cases: Record<string, (place: Place) => void> = {
    'the file is deleted': ({ path }) => rmSync(path),
    'the file is renamed': ({ path }) => away(path),
    'the file is replaced': ({ path }) => {
      writeFileSync(`${path}.new`, '');
      renameSync(`${path}.new`, path);
    },
    'its directory is deleted': ({ directory }) => rmSync(directory, { recursive: true }),
    'its directory is renamed': ({ directory }) => away(directory),
    'its directory is moved elsewhere': ({ root, directory }) =>
      renameSync(directory, join(root, 'elsewhere')),
    'its directory is replaced by another': ({ directory }) => {
      away(directory);
      mkdirSync(directory);
      writeFileSync(join(directory, 'bot.lock'), '');
    },
    'its directory is replaced by a link to another': ({ root, directory }) => {
      mkdirSync(join(root, 'other'));
      writeFileSync(join(root, 'other', 'bot.lock'), '');
      away(directory);
      symlinkSync('../other', directory);
    },
    "its directory's parent is renamed": ({ root }) => away(join(root, 'above')),
    'a directory far above is renamed': ({ root }) => away(root),
  };

  test.each(Object.keys(cases))('%s', async (label) => {
    await expectSoon(() => {
      const here = place();
      const held = lockSync('bot', { directory: here.directory });
      return lose(held, () => cases[label]?.(here));
    });
  });

  const links: Record<string, (place: Place) => void> = {
    'is deleted': ({ root }) => rmSync(join(root, 'way')),
    'is made to lead elsewhere': ({ root }) => repoint(join(root, 'way'), '/nonexistent'),
    'leads to a directory that is renamed': ({ root }) => away(join(root, 'above')),
  };
  test.each(Object.keys(links))('a symbolic link on the way %s', async (label) => {
    await expectSoon(() => {
      const here = place();
      const held = lockSync('bot', { directory: join(here.root, 'way', 'directory') });
      return lose(held, () => links[label]?.(here));
    });
  });

  test('something is mounted over its directory, or above', async (context) => {
    requireRoot(context);
    for (const over of ['directory', 'root'] as const) {
      await expectSoon(() => {
        const here = place();
        const held = lockSync('bot', { directory: here.directory });
        return lose(held, () => mount('-t', 'tmpfs', 'tmpfs', here[over]));
      });
    }
  });

  test('its file system is unmounted lazily', async (context) => {
    requireRoot(context);
    await expectSoon(() => {
      const { directory } = place();
      mount('-t', 'tmpfs', 'tmpfs', directory);
      const held = lockSync('bot', { directory });
      return lose(held, () => execFileSync('umount', ['-l', directory]));
    });
  });
});

describe('in a directory such as /tmp', () => {
  const changes: Record<string, string[]> = {
    deletes: ['rm', '-f', 'bot.lock'],
    renames: ['mv', 'bot.lock', 'other.lock'],
    replaces: ['sh', '-c', 'touch new && mv -f new bot.lock'],
  };

  function sticky(): { directory: string; path: string } {
    const directory = freshDirectory();
    chmodSync(directory, 0o1777);
    return { directory, path: lockPath('bot', { directory }) };
  }

  async function change(how: string, directory: string): Promise<void> {
    const [command = '', ...args] = [...AS_HOSTILE, ...(changes[how] as string[])];
    const { status, stderr } = await run(command, args, { cwd: directory });
    if (status !== 0) throw new Error(stderr);
  }

  const users = { root: [], 'another user': AS_NOBODY };
  const cases = Object.keys(changes).flatMap((how) =>
    (['root', 'another user'] as const).map((user) => [how, user] as const),
  );
  test.for(cases)(
    'the owner of the lock file %s it: a newcomer acquires beside %s, whose signal aborts',
    async ([how, user], context) => {
      requireSecondUser(context);
      const { directory } = sticky();
      const owner = await Actor.start({ prefix: AS_HOSTILE });
      await owner.release(await owner.lock('bot', { directory }));
      const holder = await Actor.start({ prefix: users[user] });
      const held = await holder.lock('bot', { directory });
      await holder.ask('watch', held, 'lost');
      const newcomer = await Actor.start({ prefix: AS_NOBODY });
      expect(await newcomer.tryLock('bot', { directory })).toBeNull();
      await change(how, directory);
      expect(await holder.event('lost')).toMatchObject({ error: { code: 'LOCK_LOST' } });
      expect(await newcomer.tryLock('bot', { directory })).not.toBeNull();
    },
  );

  test('who holds a lock file that its owner renames holds the other name by now', async (context) => {
    requireSecondUser(context);
    const { directory } = sticky();
    const owner = await Actor.start({ prefix: AS_HOSTILE });
    await owner.release(await owner.lock('bot', { directory }));
    const held = lockSync('bot', { directory });
    await change('renames', directory);
    expect(inspect('other', { directory }).holders).toMatchObject([{ pid: process.pid }]);
    held.release();
  });

  test.for(Object.keys(changes))('nobody %s the lock file of another', async (how, context) => {
    requireRoot(context);
    const { directory, path } = sticky();
    const held = lockSync('bot', { directory });
    const { ino } = statSync(path);
    await expect(change(how, directory)).rejects.toThrow('not permitted');
    expect(statSync(path).ino).toBe(ino);
    expect(held.signal.aborted).toBe(false);
    held.release();
  });
});

describe('the signal', () => {
  test('has aborted already where that happened before it was asked for', () => {
    const { directory, path } = place();
    const held = lockSync('bot', { directory });
    rmSync(path);
    expect(held.signal.aborted).toBe(true);
    held.release();
  });

  test('stays quiet after the release', async () => {
    const { directory, path } = place();
    const held = lockSync('bot', { directory });
    const { signal } = held;
    held.release();
    const other = lockSync('bot', { directory });
    await lose(other, () => rmSync(path));
    expect(signal.aborted).toBe(false);
  });

  test('of two locks, aborts for the one that was lost', async () => {
    const [lost, kept] = [place(), place()];
    const held = lockSync('bot', { directory: lost.directory });
    using other = lockSync('bot', { directory: kept.directory });
    expect(other.signal.aborted).toBe(false);
    await lose(held, () => rmSync(lost.path));
    expect(other.signal.aborted).toBe(false);
    await lose(other, () => rmSync(kept.path));
  });

  test('of all readers in one process aborts', async () => {
    const { directory, path } = place();
    const readers = [1, 2, 3].map(() => lockSync('bot', { directory, shared: true }));
    const all = Promise.all(readers.slice(1).map((reader) => lose(reader, () => {})));
    await lose(readers[0] as Lock, () => rmSync(path));
    await all;
  });

  test('does not abort while the path still leads to the file, and goes on watching', async () => {
    const here = place();
    const held = lockSync('bot', { directory: join(here.root, 'way', 'directory') });
    const { signal } = held;
    utimesSync(here.path, 1, 1);
    chmodSync(here.path, 0o644);
    repoint(join(here.root, 'way'), join(here.root, 'above')); // the same, by another link
    const other = lockSync('other', { directory: here.directory });
    await new Promise((resolve) => {
      other.signal.addEventListener('abort', resolve);
      rmSync(other.path);
    });
    other.release();
    expect(signal.aborted).toBe(false);
    await expectSoonOnce(held, () => repoint(join(here.root, 'way'), '/nonexistent'));
  });

  test('costs nothing for what else happens in the directories', async () => {
    const { root, directory } = place();
    const native = createRequire(import.meta.url)('../build/Release/kernel_lock.node');
    const { isCurrent } = native;
    let looks = 0;
    native.isCurrent = (lock: number) => {
      looks++;
      return isCurrent(lock);
    };
    onTestFinished(() => {
      native.isCurrent = isCurrent;
    });
    const held = lockSync('bot', { directory });
    expect(held.signal.aborted).toBe(false);
    const before = looks;
    for (const folder of [directory, join(directory, '..'), root]) {
      for (let i = 0; i < 200; i++) {
        writeFileSync(join(folder, 'file'), 'text');
        chmodSync(join(folder, 'file'), 0o600);
        away(join(folder, 'file'));
        mkdirSync(join(folder, 'folder'));
        rmSync(join(folder, 'folder'), { recursive: true });
      }
    }
    await lose(held, () => rmSync(held.path));
    expect(looks - before).toBe(1);
  });

  test('keeps no process alive', async () => {
    const { directory } = place();
    const program = `
      import { lockSync } from '${LIBRARY}';
      const held = lockSync('bot', { directory: '${directory}' });
      held.signal.addEventListener('abort', () => {});
      console.log(held.signal.aborted);`;
    expect(await run(process.execPath, ['--input-type=module', '-e', program])).toEqual({
      status: 0,
      stdout: 'false\n',
      stderr: '',
    });
  });

  test('leaves nothing behind after 1,000 locks', () => {
    const { directory } = place();
    const cycle = () => {
      const held = lockSync('bot', { directory });
      expect(held.signal.aborted).toBe(false);
      held.release();
    };
    cycle();
    const before = descriptors();
    for (let i = 0; i < 1000; i++) cycle();
    expect(descriptors()).toEqual(before);
    expect(before.watches).toBe(0);
  });

  test('works in workers, also in one that is terminated', async () => {
    const here = place();
    const body = `
      import { parentPort } from 'node:worker_threads';
      import { lockSync } from '${LIBRARY}';
      const { signal } = lockSync('bot', { directory: '${here.directory}', shared: true });
      signal.addEventListener('abort', () => parentPort.postMessage(signal.reason.code));
      setInterval(() => {}, 60_000);
      parentPort.postMessage('watches');`;
    const [first, second] = [1, 2].map(() => new Worker(body, { eval: true }));
    const said = (worker?: Worker) => new Promise((resolve) => worker?.once('message', resolve));
    expect(await Promise.all([said(first), said(second)])).toEqual(['watches', 'watches']);
    await first?.terminate();
    const told = said(second);
    rmSync(here.path);
    expect(await told).toBe('LOCK_LOST');
    await second?.terminate();
    expect(descriptors().watches).toBe(0);
  });
});

describe('where the kernel can not tell, the path is looked at:', () => {
  const uid = 100_000 + process.pid; // of nobody else on this machine, and of no other run
  const asUser = ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'];

  async function holder(directory: string): Promise<Actor> {
    const actor = await Actor.start({ prefix: asUser });
    await actor.ask('watch', await actor.lock('bot', { directory }), 'lost');
    return actor;
  }

  test("with all of the user's inotify instances in use", async (context: TestContext) => {
    requireSecondUser(context);
    requireProgram(context, 'python3');
    const hog = `
import ctypes, os, sys
os.setuid(${uid})
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0: pass
print('used up', flush=True)
sys.stdin.readline()`;
    const hogging = start('python3', ['-c', hog], { stdio: ['pipe', 'pipe', 'pipe'] });
    await hogging.says('used up\n');
    const { directory, path } = place();
    chownSync(directory, uid, uid);
    const actor = await holder(directory);
    const before = descriptors(actor.pid);
    expect(before.instances).toBe(0);
    const second = await actor.lock('second', { directory });
    await actor.ask('watch', second, 'second');
    await actor.release(second);
    expect(descriptors(actor.pid)).toEqual(before);
    rmSync(path);
    expect((await actor.event('lost')).error).toMatchObject({ code: 'LOCK_LOST' });
  });

  test('with a directory on the way that the user may not read', async (context: TestContext) => {
    requireSecondUser(context);
    const { root, directory, path } = place();
    chownSync(directory, uid, uid);
    chmodSync(join(root, 'above'), 0o711);
    const [first, second] = [await holder(directory), place()];
    away(join(root, 'above'));
    expect((await first.event('lost')).error).toMatchObject({ code: 'LOCK_LOST' });
    expect(existsSync(path)).toBe(false);
    // A control: the same directory, readable.
    chownSync(second.directory, uid, uid);
    const actor = await holder(second.directory);
    expect(descriptors(actor.pid).instances).toBe(1);
  });
});

describe('a directory that is moved while it is being watched', () => {
  // strace keeps the process between its look at the directory and the mark.
  test('with a link in its place: what becomes of that link is told', async (context) => {
    requireProgram(context, 'strace');
    const { root, directory } = place();
    const program = `
      import { lockSync } from '${LIBRARY}';
      const held = lockSync('bot', { directory: ${JSON.stringify(directory)} });
      console.log(process.pid);
      held.signal.addEventListener('abort', () => console.log('lost'));
      console.log('watched');
      process.stdin.resume();`; // to its end
    const call = 'inotify_add_watch';
    const delay = ['-e', `trace=${call}`, '-e', `inject=${call}:delay_enter=300000`];
    const node = [process.execPath, '--input-type=module', '-e', program];
    const strace = ['-f', '-qq', '-o', '/dev/null', '-P', directory, ...delay];
    const held = start('strace', [...strace, ...node], { stdio: ['pipe', 'pipe', 'pipe'] });
    await held.says(/^\d+\n/);
    const pid = Number(
      readFileSync(lockPath('bot', { directory }), 'utf8').match(/"pid":(\d+)/)?.[1],
    );
    const above = statSync(join(root, 'above')).ino.toString(16);
    await expect.poll(() => watched(pid), { interval: 1 }).toContain(above);
    away(directory);
    symlinkSync('directory.old', directory);
    await held.says('watched\n');
    rmSync(directory);
    mkdirSync(directory);
    await held.says('lost\n');
    held.child.stdin?.end();
    expect((await held.finished).status).toBe(0);
  });
});

describe('withLock', () => {
  test('hands the signal to its function', async () => {
    const { directory, path } = place();
    const working = withLock('bot', { directory }, async ({ signal }) => {
      const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
      rmSync(path);
      await aborted;
      signal.throwIfAborted();
    });
    await expect(working).rejects.toMatchObject({ code: 'LOCK_LOST', lockName: 'bot' });
  });

  test('rejects where the function has read the signal, and returns in spite of the loss', async () => {
    const { directory, path } = place();
    const working = withLock('bot', { directory }, ({ signal }) => {
      expect(signal.aborted).toBe(false);
      rmSync(path); // and no event has come yet
      return 'a result in doubt';
    });
    await expect(working).rejects.toBeInstanceOf(LockLostError);
  });

  test("does not replace the function's own error", async () => {
    const { directory, path } = place();
    const working = withLock('bot', { directory }, ({ signal }) => {
      rmSync(path);
      throw new Error(`aborted before: ${signal.aborted}`);
    });
    await expect(working).rejects.toThrow('aborted before: false');
  });

  test('does not look where nobody has asked', async () => {
    const { directory, path } = place();
    expect(await withLock('bot', { directory }, () => rmSync(path))).toBe(undefined);
  });
});

async function expectSoonOnce(lock: Lock, change: () => void): Promise<void> {
  expect(await lose(lock, change)).toBeLessThan(900);
}

/** What the process watches by inotify: numbers of files, as the kernel writes them. */
function watched(pid: number): string[] {
  const texts = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    } catch {
      return ''; // closed meanwhile
    }
  });
  return [...texts.join('').matchAll(/^inotify wd:\d+ ino:(\w+)/gm)].map(([, ino = '']) => ino);
}

/** How many descriptors, inotify instances and watches the process has. */
function descriptors(pid: number | 'self' = 'self') {
  const all = readdirSync(`/proc/${pid}/fd`);
  const watching = all.flatMap((fd) => {
    try {
      const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
      return [info.match(/^inotify wd:/gm)?.length ?? 0];
    } catch {
      return []; // the directory's own
    }
  });
  return {
    count: all.length,
    instances: watching.filter((count) => count > 0).length,
    watches: watching.reduce((sum, count) => sum + count, 0),
  };
}
