// The cases of Python filelock's test_filelock.py, by their names there, where this package promises
// the same or, for a reason that docs/peers.md gives, the contrary. That page lists the others.

import { getEventListeners } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspect, lock, lockPath, lockSync, tryLock, withLock } from '../../dist/index.js';
import { Actor } from '../support/actor.js';
import { AS_NOBODY, requireProgram, requireSecondUser } from '../support/requires.js';
import { run, start } from '../support/run.js';
import { freshDirectory } from '../support/scratch.js';

const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;
const here = () => ({ directory: freshDirectory() });
const free = (options: object) => {
  const held = tryLock('a', options);
  held?.release();
  return held !== null;
};

describe('acquire and release', () => {
  test('test_simple', async () => {
    const { directory } = here();
    for (const sub of ['', 'new', 'new2/new3']) {
      const options = { directory: join(directory, sub) };
      mkdirSync(options.directory, { recursive: true });
      const held = await withLock('a', options, (mine) => {
        expect([mine.held, mine.name, mine.path]).toEqual([true, 'a', lockPath('a', options)]);
        return mine;
      });
      expect(held.held).toBe(false);
    }
  });

  test('test_nested_context_manager', async () => {
    const options = here();
    await withLock('a', options, async (outer) => {
      await expect(withLock('a', options, () => 'inside')).rejects.toMatchObject({
        code: 'LOCK_HELD',
        holder: { pid: process.pid },
      });
      expect(outer.held).toBe(true);
    });
    expect(free(options)).toBe(true);
  });

  test('test_timeout', async () => {
    const options = here();
    const first = lockSync('a', options);
    await expect(lock('a', { ...options, wait: 50 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
      message: expect.stringContaining("'a'"),
    });
    expect([first.held, free(options)]).toEqual([true, false]);
    first.release();
    expect(free(options)).toBe(true);
  });

  test('test_non_blocking', async () => {
    const options = here();
    const first = lockSync('a', options);
    expect(tryLock('a', options)).toBeNull();
    for (const wait of [false, 0]) {
      const code = wait === false ? 'LOCK_HELD' : 'LOCK_TIMEOUT';
      await expect(lock('a', { ...options, wait })).rejects.toMatchObject({ code });
      expect(() => lockSync('a', { ...options, wait })).toThrow(expect.objectContaining({ code }));
    }
    expect(first.held).toBe(true);
    first.release();
    expect(free(options)).toBe(true);
  });

  test('test_context_release_on_exc, test_context_body_only_failure_propagates_body', async () => {
    const options = here();
    const failure = new TypeError('body failed');
    await expect(withLock('a', options, () => Promise.reject(failure))).rejects.toBe(failure);
    expect(free(options)).toBe(true);
  });

  test('test_acquire_release_on_exc', () => {
    const options = here();
    expect(() => {
      using held = lockSync('a', options);
      throw new Error(`${held.held}`);
    }).toThrow('true');
    expect(free(options)).toBe(true);
  });

  test('test_del', async () => {
    const { directory } = here();
    const code = `
      import { lockSync, tryLock } from '${LIBRARY}';
      const options = { directory: process.argv[1] };
      (() => void lockSync('a', options))();
      for (let i = 0; i < 5; i++) { gc(); await new Promise((next) => setImmediate(next)); }
      console.log(tryLock('a', options));`;
    const args = ['--expose-gc', '--input-type=module', '-e', code, directory];
    expect(await run(process.execPath, args)).toMatchObject({ status: 0, stdout: 'null\n' });
  });

  test('test_context_decorator', async () => {
    const options = here();
    const decorated = (word: string) => withLock('a', options, () => `${word}, ${free(options)}`);
    expect(await decorated('held')).toBe('held, false');
    expect(free(options)).toBe(true);
  });

  test('test_different_paths_no_conflict', () => {
    const options = here();
    using one = lockSync('a', options);
    using two = lockSync('b', options);
    using three = lockSync('a', here());
    expect([one.held, two.held, three.held]).toEqual([true, true, true]);
  });
});

describe('many at once', () => {
  const WORKER = (body: string) => `
    const { workerData: { options, shared } } = require('node:worker_threads');
    const inside = new Int32Array(shared);
    import('${LIBRARY}').then(({ lockSync }) => { ${body} });`;

  async function workers(count: number, body: string) {
    const { Worker } = await import('node:worker_threads');
    const options = here();
    const shared = new SharedArrayBuffer(8);
    const threads = Array.from(
      { length: count },
      () => new Worker(WORKER(body), { eval: true, workerData: { options, shared } }),
    );
    const ends = threads.map(
      (thread) => new Promise((resolve, reject) => thread.on('error', reject).on('exit', resolve)),
    );
    expect(await Promise.all(ends)).toEqual(threads.map(() => 0));
    expect(new Int32Array(shared)[1]).toBe(0); // nobody met anybody
    return options;
  }

  test('test_threaded_shared_lock_obj', async () => {
    const options = await workers(
      4,
      `for (let i = 0; i < 100; i++) {
        const held = lockSync('a', { ...options, wait: true });
        if (Atomics.add(inside, 0, 1) !== 0) Atomics.add(inside, 1, 1);
        Atomics.sub(inside, 0, 1);
        held.release();
      }`,
    );
    expect(free(options)).toBe(true);
  });

  test('test_threaded_lock_different_lock_obj', async () => {
    const options = { ...here(), wait: true };
    let inside = 0;
    const task = async () => {
      for (let i = 0; i < 50; i++) {
        await withLock('a', options, async () => {
          expect(++inside).toBe(1);
          await null;
          inside--;
        });
      }
    };
    await Promise.all(Array.from({ length: 20 }, task));
  });

  test('test_thrashing_with_thread_pool_lock_recreated_in_each_thread', async () => {
    await workers(
      4,
      `const { readFileSync, writeFileSync } = require('node:fs');
      const file = options.directory + '/test.txt';
      for (let i = 0; i < 25; i++) {
        const held = lockSync('a', { ...options, wait: true });
        for (const round of [1, 2, 3]) {
          const word = [process.hrtime.bigint(), round, Math.random()].join();
          writeFileSync(file, word);
          if (readFileSync(file, 'utf8') !== word) Atomics.add(inside, 1, 1);
        }
        held.release();
      }`,
    );
  });

  test('test_concurrent_acquire_release_keeps_lock_file', async () => {
    const options = here();
    lockSync('a', options).release();
    const before = statSync(lockPath('a', options)).ino;
    const actors = [await Actor.start(), await Actor.start()];
    await Promise.all(actors.map((actor) => actor.ask('churn', 'a', options, 500)));
    expect(statSync(lockPath('a', options)).ino).toBe(before);
  });
});

describe('the file', () => {
  test('test_ro_folder', async (context) => {
    requireSecondUser(context);
    const other = await Actor.start({ prefix: AS_NOBODY });
    const failure = { code: 'LOCK_PERMISSION' };
    await expect(other.lockSync('a', here())).rejects.toMatchObject(failure);
  });

  // flock(2) asks for no right to write: the file of another user is locked, without a record.
  test('test_ro_file, test_readonly_lock_file_with_mtime_zero_raises', async (context) => {
    requireSecondUser(context);
    const options = here();
    const path = lockPath('a', options);
    writeFileSync(path, 'as it was', { mode: 0o444 });
    utimesSync(path, 0, 0);
    const other = await Actor.start({ prefix: AS_NOBODY });
    await other.lockSync('a', options);
    expect(tryLock('a', options)).toBeNull();
    expect(readFileSync(path, 'utf8')).toBe('as it was');
  });

  test.each(['', '\0', '.', '<', '>', ':', '"', '|', '?', '*', '\x07', '/', '\\'])(
    'test_bad_lock_file %j',
    (name) => {
      const invalid = expect.objectContaining({ code: 'LOCK_INVALID_NAME' });
      expect(() => lockSync(name, here())).toThrow(invalid);
    },
  );

  test('test_lock_mode, test_umask', () => {
    const options = here();
    const before = process.umask(0o027);
    try {
      lockSync('a', options).release();
      expect(process.umask()).toBe(0o027);
      // Everybody can take part, and cleaners of /tmp leave it alone.
      expect(statSync(lockPath('a', options)).mode & 0o7777).toBe(0o1644);
    } finally {
      process.umask(before);
    }
  });

  test('test_lock_acquired_after_release_keeps_path', () => {
    const options = here();
    const inodes = [1, 2, 3].map(() => {
      lockSync('a', options).release();
      return statSync(lockPath('a', options)).ino;
    });
    expect(new Set(inodes).size).toBe(1);
  });

  test('test_waiter_fd_cannot_split_lock_after_release', async (context) => {
    requireProgram(context, 'flock');
    const options = here();
    const first = lockSync('a', options);
    const script = 'exec 9<>"$0"; echo open; read x; flock -n 9; echo "status $?"';
    const waiter = start('sh', ['-c', script, first.path], { stdio: 'pipe' });
    await waiter.says('open');
    first.release();
    const replacement = lockSync('a', options);
    waiter.child.stdin?.end('\n');
    await waiter.says('status 1');
    replacement.release();
  });

  test('test_stale_inode_retry_on_unlinked_lock', async () => {
    const options = here();
    const first = lockSync('a', options);
    const pending = lock('a', { ...options, wait: true });
    await expect.poll(() => inspect('a', options).waiters).toBe(1);
    rmSync(first.path);
    first.release();
    const next = await pending;
    expect(statSync(next.path).nlink).toBe(1); // it is there again,
    expect(inspect('a', options).holders).toMatchObject([{ pid: process.pid }]); // and locked
    expect(tryLock('a', options)).toBeNull();
    next.release();
  });

  test('test_sticky_bit_fallback_handles_concurrent_unlink, test_filenotfound_on_fuse_nfs_retries', async () => {
    const options = here();
    const actor = await Actor.start();
    let done = false;
    const churn = actor.ask<number>('churn', 'a', options, 3000).finally(() => {
      done = true;
    });
    let deleted = 0;
    while (!done) {
      rmSync(lockPath('a', options), { force: true });
      deleted++;
      await new Promise((next) => setImmediate(next));
    }
    expect(await churn).toBe(0); // no error, and no refusal by a file that is gone
    expect(deleted).toBeGreaterThan(1);
  });

  test('test_winner_truncates_stale_content', () => {
    const options = here();
    const stale = 'stale from a previous holder'.repeat(10);
    writeFileSync(lockPath('a', options), stale);
    writeFileSync(lockPath('b', options), stale);
    chmodSync(lockPath('a', options), 0o1644);
    using held = lockSync('a', options);
    expect(JSON.parse(readFileSync(held.path, 'utf8'))).toMatchObject({ pid: process.pid });
    // What is not marked as a lock's may be somebody's file: it is locked, and not written.
    using other = lockSync('b', options);
    expect(readFileSync(other.path, 'utf8')).toBe(stale);
  });

  test('test_contender_preserves_holder_contents, test_contender_preserves_holder_mode', async () => {
    const options = here();
    using held = lockSync('a', { ...options, metadata: 'holder metadata' });
    const before = [readFileSync(held.path, 'utf8'), statSync(held.path).mode];
    const contender = await Actor.start();
    expect(await contender.tryLock('a', options)).toBeNull();
    await expect(contender.lockSync('a', { ...options, wait: 20 })).rejects.toThrow();
    expect([readFileSync(held.path, 'utf8'), statSync(held.path).mode]).toEqual(before);
  });

  test('test_final_symlink_backend_refuses_to_lock', () => {
    const options = here();
    writeFileSync(join(options.directory, 'target'), '');
    symlinkSync(join(options.directory, 'target'), lockPath('a', options));
    const unsafe = expect.objectContaining({ code: 'LOCK_UNSAFE_PATH' });
    expect(() => lockSync('a', options)).toThrow(unsafe);
  });
});

describe('cancelling', () => {
  test('test_cancel_check_triggers, test_cancel_check_after_n_polls', async () => {
    const options = here();
    const first = lockSync('a', options);
    const controller = new AbortController();
    const pending = lock('a', { ...options, wait: true, signal: controller.signal });
    await expect.poll(() => inspect('a', options).waiters).toBe(1);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    await expect.poll(() => inspect('a', options).waiters).toBe(0);
    first.release();
    expect(free(options)).toBe(true);
  });

  test('test_cancel_check_not_called_when_lock_available, test_cancel_check_false_allows_acquisition', async () => {
    const { signal } = new AbortController();
    const held = await lock('a', { ...here(), wait: true, signal });
    expect([held.held, getEventListeners(signal, 'abort')]).toEqual([true, []]);
    held.release();
  });
});

describe('deadlock', () => {
  const deadlock = expect.objectContaining({ code: 'LOCK_DEADLOCK' });

  test('test_same_thread_different_instances_raises', () => {
    const options = here();
    using _held = lockSync('a', options);
    expect(() => lockSync('a', { ...options, wait: true })).toThrow(deadlock);
  });

  test('test_finite_timeout_gives_timeout_not_deadlock, test_non_blocking_gives_timeout_not_deadlock, test_failed_acquire_keeps_holder_registered', () => {
    const options = here();
    using held = lockSync('a', options);
    const code = (name: string) => expect.objectContaining({ code: name });
    expect(() => lockSync('a', { ...options, wait: 20 })).toThrow(code('LOCK_TIMEOUT'));
    expect(() => lockSync('a', options)).toThrow(code('LOCK_HELD'));
    expect(() => lockSync('a', { ...options, wait: true })).toThrow(deadlock);
    expect(held.held).toBe(true);
  });

  test('test_different_threads_no_false_positive', async () => {
    const { Worker } = await import('node:worker_threads');
    const options = here();
    const held = lockSync('a', options);
    const code = `const { parentPort, workerData: options } = require('node:worker_threads');
      import('${LIBRARY}').then(({ lockSync }) => {
        try { parentPort.postMessage(lockSync('a', { ...options, wait: true }).held); }
        catch ({ code }) { parentPort.postMessage(code); }
      });`;
    const worker = new Worker(code, { eval: true, workerData: options });
    const said = new Promise((resolve, reject) =>
      worker.on('message', resolve).on('error', reject),
    );
    await expect.poll(() => inspect('a', options).waiters).toBe(1);
    held.release();
    expect(await said).toBe(true);
    await worker.terminate();
  });

  test('test_symlink_same_canonical_path, test_singleton_shares_across_equivalent_spellings', () => {
    const { directory } = here();
    const real = join(directory, 'real');
    mkdirSync(real);
    symlinkSync('real', join(directory, 'link'));
    using _held = lockSync('a', { directory: real });
    for (const spelling of [join(directory, 'link'), `${real}/../link/./`, `${real}//`]) {
      const options = { directory: spelling };
      expect(tryLock('a', options)).toBeNull();
      expect(() => lockSync('a', { ...options, wait: true })).toThrow(deadlock);
    }
  });

  test('test_release_drops_acquisition_key_after_parent_retarget, test_release_keeps_retargeted_parent_holder_registered', () => {
    const { directory } = here();
    const [original, replacement, link] = ['original', 'replacement', 'link'].map((part) =>
      join(directory, part),
    ) as [string, string, string];
    for (const made of [original, replacement]) mkdirSync(made);
    symlinkSync(original, link);
    const first = lockSync('a', { directory: link });
    symlinkSync(replacement, `${link}.new`);
    renameSync(`${link}.new`, link);
    const second = lockSync('a', { directory: replacement });
    first.release(); // what it locked, not what its path leads to by now
    expect(free({ directory: original })).toBe(true);
    expect(() => lockSync('a', { directory: link, wait: true })).toThrow(deadlock);
    second.release();
    expect(free({ directory: link })).toBe(true);
  });

  test('test_deadlock_registry_cleanup_on_release', () => {
    const options = here();
    lockSync('a', options).release();
    lockSync('a', { ...options, wait: true }).release();
  });
});
