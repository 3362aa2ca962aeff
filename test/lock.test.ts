// The rules of one process.
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as tick } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { inspect, Lock, lock, lockPath, lockSync, tryLock, withLock } from '../dist/index.js';
import { REPOSITORY, run } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const LIBRARY = new URL('../dist/index.js', import.meta.url).href;

const here = () => ({ directory: freshDirectory() });

describe('a lock', () => {
  test('tells its name, path and mode, and holds until it is released', () => {
    const options = here();
    const held = lockSync('bot', options);
    expect(held).toBeInstanceOf(Lock);
    expect(held).toMatchObject({
      name: 'bot',
      path: `${options.directory}/bot.lock`,
      shared: false,
      held: true,
    });
    expect(tryLock('bot', options)).toBeNull();
    held.release();
    held.release();
    expect(held.held).toBe(false);
    tryLock('bot', options)?.release();
    expect(existsSync(held.path)).toBe(true);
  });

  test('is released by using and by await using', async () => {
    const options = here();
    {
      using held = lockSync('bot', options);
      expect(held.held).toBe(true);
      expect(tryLock('bot', options)).toBeNull();
    }
    {
      await using held = await lock('bot', options);
      expect(held.held).toBe(true);
    }
    const again = tryLock('bot', options);
    expect(again).not.toBeNull();
    again?.release();
  });

  test('that nobody keeps is still held after garbage collection', async () => {
    const { directory } = here();
    const program = `
      import { lockSync, tryLock } from '${LIBRARY}';
      const options = { directory: ${JSON.stringify(directory)} };
      lockSync('bot', options);
      for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate); }
      console.log(tryLock('bot', options));`;
    const end = await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', program]);
    expect(end).toMatchObject({ status: 0, stdout: 'null\n' });
  });

  test('keeps no process alive, but a pending wait does', async () => {
    const { directory } = here();
    const program = `
      import { lock, lockSync } from '${LIBRARY}';
      const options = { directory: ${JSON.stringify(directory)} };
      const held = lockSync('bot', options);
      setTimeout(() => held.release(), 50).unref();
      lock('bot', { ...options, wait: 10_000 }).then(() => console.log('granted'));`;
    const end = await run(process.execPath, [
      '--input-type=module',
      '-e',
      program.replace('.unref()', ''),
    ]);
    expect(end).toMatchObject({ status: 0, stdout: 'granted\n' });
  });

  test('of which there are two names is two locks', () => {
    const options = here();
    using _one = lockSync('one', options);
    using two = lockSync('two', options);
    expect(two.held).toBe(true);
  });

  test('does not disturb the record of the holder when it is refused', () => {
    const options = here();
    using held = lockSync('bot', { ...options, metadata: { mode: 'production' } });
    const before = readFileSync(held.path, 'utf8');
    expect(() => lockSync('bot', { ...options, metadata: 'other' })).toThrow('is held by');
    expect(readFileSync(held.path, 'utf8')).toBe(before);
  });
});

describe('shared locks', () => {
  test('go together, and keep a writer out', () => {
    const options = here();
    using one = lockSync('data', { ...options, shared: true });
    using two = lockSync('data', { ...options, shared: true });
    expect([one.shared, two.shared]).toEqual([true, true]);
    expect(tryLock('data', options)).toBeNull();
  });

  test('are kept out by a writer', () => {
    const options = here();
    using _writer = lockSync('data', options);
    expect(tryLock('data', { ...options, shared: true })).toBeNull();
  });
});

describe('a refusal', () => {
  test('names the holder', async () => {
    const options = here();
    using held = lockSync('bot', { ...options, metadata: { mode: 'production' } });
    const error = await lock('bot', options).catch((reason) => reason);
    expect(error).toMatchObject({
      name: 'LockHeldError',
      code: 'LOCK_HELD',
      lockName: 'bot',
      path: held.path,
    });
    expect(error.holder).toMatchObject({
      pid: process.pid,
      source: 'kernel',
      metadata: { mode: 'production' },
    });
    expect(error.message).not.toMatch(/delet|remov/i);
  });
});

describe('waiting inside one process', () => {
  test('is first in, first out', async () => {
    const options = here();
    const held = lockSync('bot', options);
    const order: number[] = [];
    const waits = [0, 1, 2, 3, 4].map(async (place) => {
      const mine = await lock('bot', { ...options, wait: true });
      order.push(place);
      await tick();
      mine.release();
    });
    held.release();
    // Whoever comes now stands behind all of them.
    const last = await lock('bot', { ...options, wait: true });
    expect(order).toEqual([0, 1, 2, 3, 4]);
    last.release();
    await Promise.all(waits);
  });

  test('lets readers in together', async () => {
    const options = here();
    const writer = lockSync('data', options);
    const readers = [1, 2, 3].map(() => lock('data', { ...options, shared: true, wait: true }));
    writer.release();
    const locks = await Promise.all(readers); // none of them is released before all are granted
    expect(locks.every((reader) => reader.held)).toBe(true);
    for (const reader of locks) reader.release();
  });

  test('ends with LOCK_TIMEOUT when its time is over', async () => {
    const options = here();
    using _held = lockSync('bot', options);
    for (const wait of [0, 20]) {
      const asynchronous = await lock('bot', { ...options, wait }).catch((reason) => reason);
      expect(asynchronous).toMatchObject({ name: 'LockTimeoutError', code: 'LOCK_TIMEOUT' });
      expect(asynchronous.holder.pid).toBe(process.pid);
      expect(() => lockSync('bot', { ...options, wait })).toThrow(/still held/);
    }
  });

  test('is cancelled with the reason of the signal, and leaves nothing behind', async () => {
    const options = here();
    const held = lockSync('bot', options);
    const controller = new AbortController();
    const waiting = lock('bot', { ...options, wait: true, signal: controller.signal });
    const reason = new Error('changed my mind');
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    held.release();
    tryLock('bot', options)?.release();
    // A grant that comes late is given back an instant after the thread has it.
    const status = () => inspect('bot', options);
    await expect.poll(status).toMatchObject({ held: false, waiters: 0 });
  });

  test('without end in lockSync, for what this very thread holds, is LOCK_DEADLOCK', async () => {
    const options = here();
    const held = lockSync('bot', options);
    expect(() => lockSync('bot', { ...options, wait: true })).toThrow(
      expect.objectContaining({ code: 'LOCK_DEADLOCK' }),
    );
    held.release();
  });

  test('without end in lockSync, behind a wait of this very thread, is LOCK_DEADLOCK too', async () => {
    const options = here();
    const reader = lockSync('data', { ...options, shared: true });
    const writer = lock('data', { ...options, wait: true });
    expect(() => lockSync('data', { ...options, shared: true, wait: true })).toThrow(
      expect.objectContaining({ code: 'LOCK_DEADLOCK' }),
    );
    reader.release();
    (await writer).release();
  });
});

describe('LOCK_DEADLOCK is seen', () => {
  const deadlock = expect.objectContaining({ code: 'LOCK_DEADLOCK' });

  test('although the wait of this thread has been granted and not yet announced', async () => {
    const options = here();
    const held = lockSync('bot', options);
    const waiting = lock('bot', { ...options, wait: true });
    held.release();
    // Busy, so that the thread that waits has the lock and this one has not heard of it.
    while (!inspect('bot', options).held);
    expect(() => lockSync('bot', { ...options, wait: true })).toThrow(deadlock);
    (await waiting).release();
  });

  test('although the file is reached by another path', () => {
    const { directory } = here();
    const link = `${freshDirectory()}/link`;
    symlinkSync(directory, link);
    using _held = lockSync('bot', { directory });
    expect(() => lockSync('bot', { directory: link, wait: true })).toThrow(deadlock);
  });

  test('although this thread waits for the file by another path, in vain so far', async () => {
    const { directory } = here();
    const link = `${freshDirectory()}/link`;
    symlinkSync(directory, link);
    using _held = lockSync('bot', { directory });
    const program = `
      import { lock, lockSync } from '${LIBRARY}';
      const waiting = lock('bot', { directory: '${directory}', wait: true });
      try {
        lockSync('bot', { directory: '${link}', wait: true });
      } catch ({ code }) {
        console.log(code);
        process.exit();
      }`;
    // In a process of its own, because a thread that is blocked can't be timed out.
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program]);
    expect(stdout).toBe('LOCK_DEADLOCK\n');
  });

  test('although the file was granted by another path, and that is not told yet', async () => {
    const { directory } = here();
    const link = `${freshDirectory()}/link`;
    symlinkSync(directory, link);
    const held = lockSync('bot', { directory });
    const waiting = lock('bot', { directory, wait: true });
    await expect.poll(() => inspect('bot', { directory }).waiters).toBe(1);
    held.release();
    while (!inspect('bot', { directory }).held) {
      // busy, so that no event is delivered
    }
    expect(() => lockSync('bot', { directory: link, wait: true })).toThrow(deadlock);
    (await waiting).release();
  });
});

describe('a standard stream that was closed', () => {
  test('is not taken by the lock: child processes would inherit it', async () => {
    const { directory } = here();
    const program = `
      import { closeSync, openSync, readlinkSync } from 'node:fs';
      import { lockSync } from '${LIBRARY}';
      closeSync(0);
      lockSync('bot', { directory: ${JSON.stringify(directory)} });
      const first = openSync('/dev/null');
      console.log(first, readlinkSync('/proc/self/fd/0'));`;
    const end = await run(process.execPath, ['--input-type=module', '-e', program]);
    expect(end).toMatchObject({ status: 0, stdout: '0 /dev/null\n' });
  });
});

describe('two copies of the package in one thread', () => {
  test('each hear of their own grants', async () => {
    const { directory } = here();
    const program = `
      import { lock, lockSync } from '${LIBRARY}';
      import { lock as lockOfCopy } from '${LIBRARY}?copy'; // over the same native part
      const options = { directory: ${JSON.stringify(directory)}, wait: 20_000 };
      const controller = new AbortController();
      const { signal } = controller;
      const held = lockSync('bot', options);
      const theirs = lockOfCopy('bot', options);
      const ours = lock('bot', { ...options, signal }).catch((error) => error.name);
      held.release();
      console.log((await theirs).held);
      controller.abort();
      console.log(await ours);`;
    const end = await run(process.execPath, ['--input-type=module', '-e', program]);
    expect(end).toMatchObject({ status: 0, stdout: 'true\nAbortError\n' });
  });
});

describe('the package', () => {
  test('can be required, without a warning', async () => {
    const modules = join(freshDirectory(), 'node_modules');
    mkdirSync(modules);
    symlinkSync(REPOSITORY, join(modules, 'kernel-lock'));
    const program = `const { lockSync } = require('kernel-lock');
      lockSync('bot', ${JSON.stringify(here())}).release();
      console.log('worked');`;
    const end = await run(process.execPath, ['-e', program], { cwd: join(modules, '..') });
    expect(end).toEqual({ status: 0, stdout: 'worked\n', stderr: '' });
  });
});

describe('options', () => {
  test('that are inherited are checked like own ones', () => {
    const inherited = Object.create({ directory: 'relative' });
    expect(() => lockPath('bot', inherited)).toThrow(
      expect.objectContaining({ code: 'LOCK_INVALID_OPTION' }),
    );
  });

  test('that change between check and use are read once', () => {
    let reads = 0;
    const options = {
      get directory() {
        return reads++ === 0 ? '/tmp' : 'relative';
      },
    };
    expect(lockPath('bot', options)).toBe('/tmp/bot.lock');
    expect(reads).toBe(1);
  });
});

describe('withLock', () => {
  test('releases after success, failure and a throw', async () => {
    const options = here();
    const name = freshName();
    expect(await withLock(name, options, (held) => held.held)).toBe(true);
    await expect(withLock(name, options, () => Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    );
    await expect(
      withLock(name, options, () => {
        throw new Error('not at all');
      }),
    ).rejects.toThrow('not at all');
    expect(inspect(name, options).held).toBe(false);
  });

  test('may be called without options', async () => {
    expect(await withLock(freshName(), ({ path }) => path)).toMatch(/^\/tmp\//);
  });
});
