// The cases of Go's cmd/go/internal/lockedfile and its filelock, by their names there. Its blocked
// calls are pending waits here. See docs/peers.md for those that do not apply.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  inspect,
  type Lock,
  lock,
  lockPath,
  lockSync,
  tryLock,
  withLock,
} from '../../dist/index.js';
import { Actor } from '../support/actor.js';
import { freshDirectory } from '../support/scratch.js';

const here = () => ({ directory: freshDirectory() });

/** A wait that was seen to block: it is refused now, and one more waits. */
function mustBlock(options: { directory: string; shared?: boolean }) {
  expect(tryLock('bot', options)).toBeNull();
  let settled = false;
  const pending = lock('bot', { ...options, wait: 20_000 }).finally(() => {
    settled = true;
  });
  return { pending, blocked: () => !settled };
}

async function excludes(first: { shared: boolean }, second: { shared: boolean }) {
  const options = here();
  const held = lockSync('bot', { ...options, ...first });
  const { pending, blocked } = mustBlock({ ...options, ...second });
  await expect.poll(() => inspect('bot', options).waiters).toBe(1);
  expect(blocked()).toBe(true);
  held.release();
  const other = await pending;
  expect(other).toMatchObject({ held: true, shared: second.shared });
  other.release();
}

const [WRITER, READER] = [{ shared: false }, { shared: true }];

describe('filelock_test', () => {
  test('TestLockExcludesLock', () => excludes(WRITER, WRITER));
  test('TestLockExcludesRLock', () => excludes(WRITER, READER));

  test('TestRLockExcludesOnlyLock', async () => {
    const options = here();
    const readers = [lockSync('bot', { ...options, ...READER })];
    readers.push(lockSync('bot', { ...options, ...READER }));
    const { pending, blocked } = mustBlock(options);
    readers.pop()?.release();
    await expect.poll(() => inspect('bot', options).waiters).toBe(1);
    expect(blocked()).toBe(true);
    readers.pop()?.release();
    (await pending).release();
  });

  test('TestLockNotDroppedByExecCommand', async () => {
    const options = here();
    const held = lockSync('bot', options);
    expect(spawnSync(process.execPath, ['-e', '0']).status).toBe(0);
    const { pending, blocked } = mustBlock(options);
    await expect.poll(() => inspect('bot', options).waiters).toBe(1);
    expect(blocked()).toBe(true);
    held.release();
    (await pending).release();
  });
});

describe('lockedfile_test', () => {
  test('TestMutexExcludes', () => excludes(WRITER, WRITER));

  test('TestReadWaitsForLock', async () => {
    const options = here();
    const file = join(options.directory, 'timestamp.txt');
    const held = lockSync('bot', options);
    writeFileSync(file, 'part 1\n');
    const read = withLock('bot', { ...options, ...READER, wait: 20_000 }, () =>
      readFileSync(file, 'utf8'),
    );
    await expect.poll(() => inspect('bot', options).waiters).toBe(1);
    writeFileSync(file, 'part 2\n', { flag: 'a' });
    held.release();
    expect(await read).toBe('part 1\npart 2\n');
  });

  test('TestCanLockExistingFile', async () => {
    const options = here();
    writeFileSync(lockPath('bot', options), 'ok', { mode: 0o777 });
    const held = lockSync('bot', options);
    const { pending } = mustBlock(options);
    held.release();
    (await pending).release();
  });

  // Two processes and two files: locks of one process that another waits for, and the other way
  // round, are no deadlock as long as different parts of the program hold them.
  test('TestSpuriousEDEADLK', async () => {
    const options = here();
    const held: Lock = lockSync('A', options);
    const other = await Actor.start();
    const b = await other.lock('B', options);
    const waitsForA = other.ask<number>('lock', 'A', { ...options, wait: true });
    await expect.poll(() => inspect('A', options).waiters).toBe(1);
    const waitsForB = lock('B', { ...options, wait: true });
    await expect.poll(() => inspect('B', options).waiters).toBe(1);
    held.release();
    await other.release(await waitsForA);
    await other.release(b);
    (await waitsForB).release();
  });
});

test('TestTransform', async () => {
  const options = here();
  const file = join(options.directory, 'blob.bin');
  const words = 4096;
  const write = (count: number, from: number) =>
    writeFileSync(
      file,
      new BigUint64Array(Array.from({ length: count }, (_, i) => BigInt(from + i))),
    );
  write(1, 0);
  const isPowerOf2 = (count: number) => count > 0 && (count & (count - 1)) === 0;
  let inside = 0;
  const transform = (round: number) =>
    withLock('bot', { ...options, wait: true }, async () => {
      expect(++inside).toBe(1);
      const bytes = readFileSync(file);
      expect(bytes.length % 8).toBe(0);
      const read = new BigUint64Array(new Uint8Array(bytes).buffer);
      expect(isPowerOf2(read.length)).toBe(true);
      expect(read.every((word, i) => i === 0 || word === (read[i - 1] as bigint) + 1n)).toBe(true);
      await new Promise((next) => setImmediate(next)); // somebody else's turn, if they were let in
      write(words >> (round % 13), round);
      inside--;
    });
  await Promise.all(Array.from({ length: 128 }, (_, round) => transform(round)));
});
