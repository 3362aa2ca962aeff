// The cases of proper-lockfile's suite, by their names there, where this package promises the same or,
// for a reason that docs/peers.md gives, the contrary. That page lists the others.

import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as lockfile from '../../dist/index.js';
import { Actor } from '../support/actor.js';
import { run } from '../support/run.js';
import { freshDirectory } from '../support/scratch.js';

const { checkRunning, lock, lockPath, lockSync, tryLock, withLock } = lockfile;
const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;
const here = () => ({ directory: freshDirectory() });

/** Runs code with the package and `options` in a process of its own. */
const program = (code: string, directory: string) =>
  run(process.execPath, [
    '--input-type=module',
    '-e',
    `import * as lockfile from '${LIBRARY}'; const options = { directory: process.argv[1] }; ${code}`,
    directory,
  ]);

describe('check, .checkSync()', () => {
  test('should not fail if the file does not exist and realpath is false', () => {
    const options = here();
    expect(checkRunning('foo', options)).toBe(false);
    expect(existsSync(lockPath('foo', options))).toBe(false);
  });

  test('should resolve with true if file is locked, should resolve with false if file is not locked', () => {
    const options = here();
    const held = lockSync('foo', options);
    expect(checkRunning('foo', options)).toBe(true);
    held.release();
    expect(checkRunning('foo', options)).toBe(false);
  });

  test('should resolve symlinks by default', () => {
    const { directory } = here();
    mkdirSync(join(directory, 'foo'));
    symlinkSync('foo', join(directory, 'bar'));
    using _held = lockSync('foo', { directory: join(directory, 'bar') });
    for (const way of ['bar', 'foo']) {
      expect(checkRunning('foo', { directory: join(directory, way) })).toBe(true);
    }
  });
});

describe('lock', () => {
  test('should fail if impossible to create the lockfile because directory does not exist', async () => {
    const directory = join(freshDirectory(), 'some-dir-that-will-never-exist');
    await expect(lock('foo', { directory })).rejects.toMatchObject({
      code: 'LOCK_PERMISSION',
      cause: { code: 'ENOENT' },
    });
  });

  test('should return a promise for a release function', async () => {
    const promise = lock('foo', here());
    expect(promise).toBeInstanceOf(Promise);
    const { release } = await promise;
    expect(release).toBeInstanceOf(Function);
    (await promise).release();
  });

  test('should create the lockfile, should create the lockfile inside a folder', async () => {
    const options = here();
    const held = await lock('foo', options);
    expect(existsSync(join(options.directory, 'foo.lock'))).toBe(true);
    held.release();
  });

  test('should fail if already locked', async () => {
    const options = here();
    using _held = await lock('foo', options);
    await expect(lock('foo', options)).rejects.toMatchObject({ code: 'LOCK_HELD' });
  });

  test('should retry several times if retries were specified', async () => {
    const options = here();
    const held = await lock('foo', options);
    const waiting = lock('foo', { ...options, wait: 20_000 });
    setTimeout(() => held.release(), 50);
    (await waiting).release();
  });

  test('should remove and acquire over stale locks', async () => {
    const options = here();
    const dead = await Actor.start();
    await dead.lock('foo', options);
    await dead.kill();
    (await lock('foo', options)).release(); // at once, whatever the times say
  });

  // Times mean nothing: neither old ones nor those that somebody else has set.
  test('should not fail to update mtime when we are over the threshold but mtime is ours, should call the compromised function when we are over the threshold and mtime is not ours', async () => {
    const options = here();
    const held = await lock('foo', options);
    const other = await Actor.start();
    for (const time of [
      new Date(0),
      new Date(Date.now() - 3_600_000),
      new Date(Date.now() + 1e9),
    ]) {
      utimesSync(held.path, time, time);
      expect(await other.tryLock('foo', options)).toBeNull();
      expect([held.held, held.signal.aborted]).toEqual([true, false]);
    }
    held.release();
  });

  test('should call the compromised function if updating the lockfile took too much time', async () => {
    const options = here();
    const busy = await Actor.start();
    await busy.lock('foo', options);
    busy.signal('SIGSTOP'); // as a laptop's sleep or an endless loop: nothing is updated
    expect(tryLock('foo', options)).toBeNull();
    utimesSync(lockPath('foo', options), 0, 0);
    expect(tryLock('foo', options)).toBeNull();
    busy.signal('SIGCONT');
    expect(await busy.tryLock('foo', options)).toBeNull(); // it holds on
  });

  test('should call the compromised function if ENOENT was detected when updating the lockfile mtime', async () => {
    const held = await lock('foo', here());
    const aborted = once(held.signal, 'abort');
    rmSync(held.path);
    await aborted;
    expect([held.held, held.signal.reason.code]).toEqual([false, 'LOCK_LOST']);
    held.release();
  });

  test('should call the compromised function if lock was acquired by someone else due to staleness', async () => {
    const options = here();
    const held = await lock('foo', options);
    const aborted = once(held.signal, 'abort');
    writeFileSync(`${held.path}.new`, '');
    renameSync(`${held.path}.new`, held.path);
    await aborted;
    const other = await Actor.start();
    expect(await other.tryLock('foo', options)).not.toBeNull();
    held.release(); // takes nothing from the other
    expect(tryLock('foo', options)).toBeNull();
  });

  test('should throw an error by default when the lock is compromised', async () => {
    const done = withLock('foo', here(), ({ path, signal }) => {
      rmSync(path);
      return signal.aborted;
    });
    await expect(done).rejects.toMatchObject({ code: 'LOCK_LOST' });
  });
});

describe('misc', () => {
  test('should remove open locks if the process crashes', async () => {
    const options = here();
    const crash = `lockfile.lockSync('foo', options); throw new Error('intentional crash');`;
    const { status, stderr } = await program(crash, options.directory);
    expect([status, stderr]).toEqual([1, expect.stringContaining('intentional crash')]);
    expect(checkRunning('foo', options)).toBe(false);
    lockSync('foo', options).release();
  });

  test('should not hold the process if it has no more work to do', async () => {
    const { directory } = here();
    const code = `lockfile.lockSync('foo', options).signal; await lockfile.lock('bar', options);`;
    expect(await program(code, directory)).toMatchObject({ status: 0 });
  });
});

describe('release, unlock, .unlockSync()', () => {
  test('should release the lock', async () => {
    const options = here();
    (await lock('foo', options)).release();
    (await lock('foo', options)).release();
  });

  // It stays: whoever removes a lock file splits the lock.
  test('should remove the lockfile', async () => {
    const held = await lock('foo', here());
    const { ino } = statSync(held.path);
    held.release();
    expect(statSync(held.path).ino).toBe(ino);
  });

  // It does nothing, and to the next holder above all.
  test('should fail when releasing twice', async () => {
    const options = here();
    const first = await lock('foo', options);
    first.release();
    const second = await lock('foo', options);
    first.release();
    expect([first.held, second.held, tryLock('foo', options)]).toEqual([false, true, null]);
    second.release();
  });
});

describe('.lockSync()', () => {
  test('should expose a working lockSync', () => {
    const options = here();
    const held = lockSync('foo', options);
    expect(checkRunning('foo', options)).toBe(true);
    held.release();
    expect(checkRunning('foo', options)).toBe(false);
  });

  test('should fail if the lock is already acquired', () => {
    const options = here();
    using _held = lockSync('foo', options);
    expect(() => lockSync('foo', options)).toThrow(/held/);
  });

  test('should pass options correctly, should not allow retries to be passed', () => {
    const options = { ...here(), retries: 10 };
    for (const call of [lockSync, tryLock, checkRunning]) {
      expect(() => call('foo', options)).toThrow(
        expect.objectContaining({
          code: 'LOCK_INVALID_OPTION',
          message: expect.stringMatching(/retries/),
        }),
      );
    }
  });
});
