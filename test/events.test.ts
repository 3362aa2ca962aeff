// What is told on node:diagnostics_channel.
import diagnostics from 'node:diagnostics_channel';
import { renameSync, unlinkSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  inspect,
  type LockEvents,
  LockHeldError,
  lock,
  lockPath,
  lockSync,
  SingleInstance,
  tryLock,
  withLock,
} from '../dist/index.js';
import { Actor } from './support/actor.js';
import { run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };
const CHANNELS = ['waited', 'acquired', 'refused', 'released', 'lost'] as const;
const LIBRARY = new URL('../dist/index.js', import.meta.url).href;

type Told = { [K in keyof LockEvents]: [K, LockEvents[K]] }[keyof LockEvents];

type Timed = [string, { waitedMs: number; heldMs: number }];

/** Everything that is told from here to the end of the test. */
function listen(): Told[] {
  const told: Told[] = [];
  for (const channel of CHANNELS) {
    const name = `kernel-lock:${channel}` as const;
    const hear = (message: unknown) => told.push([name, message] as Told);
    diagnostics.subscribe(name, hear);
    onTestFinished(() => {
      diagnostics.unsubscribe(name, hear);
    });
  }
  return told;
}

const names = (told: Told[]) => told.map(([name]) => name.replace('kernel-lock:', ''));
const milliseconds = expect.toSatisfy((value) => value >= 0 && value < 60_000);

describe('told is', () => {
  test('what was acquired and released, with how long it was held', async () => {
    const directory = freshDirectory();
    const told = listen();
    const before = performance.now();
    const held = lockSync('bot', { directory, shared: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
    held.release();
    held.release();
    const after = performance.now();
    const about = { name: 'bot', path: lockPath('bot', { directory }), shared: true };
    expect(told).toEqual([
      ['kernel-lock:acquired', { ...about, waitedMs: 0 }],
      ['kernel-lock:released', { ...about, heldMs: milliseconds }],
    ]);
    const [, released] = told as unknown as [Told, Timed];
    expect(released[1].heldMs).toBeGreaterThan(40);
    expect(released[1].heldMs).toBeLessThanOrEqual(after - before);
  });

  test.each([
    ['lock', (directory: string) => lock('bot', { directory }).then((held) => held.release())],
    ['tryLock', (directory: string) => tryLock('bot', { directory })?.release()],
    ['withLock', (directory: string) => withLock('bot', { directory }, () => {})],
    [
      'withLock that fails',
      (directory: string) =>
        withLock('bot', { directory }, () => Promise.reject(new Error('failed'))).catch(() => {}),
    ],
    ['using', (directory: string) => void lockSync('bot', { directory })[Symbol.dispose]()],
    ['await using', (directory: string) => lockSync('bot', { directory })[Symbol.asyncDispose]()],
    ['SingleInstance', (directory: string) => new SingleInstance('bot', { directory }).release()],
  ])('one release for one acquisition, by %s', async (_, acquireAndRelease) => {
    const directory = freshDirectory();
    const told = listen();
    await acquireAndRelease(directory);
    expect(names(told)).toEqual(['acquired', 'released']);
  });

  test.each([
    ['lock', async (directory: string) => void (await lock('bot', { directory }))],
    ['lockSync', async (directory: string) => void lockSync('bot', { directory })],
    [
      'SingleInstance',
      async (directory: string) =>
        void new SingleInstance('bot', { directory, onConflict: 'throw' }),
    ],
  ])('a refusal of %s, with the holder', async (_, acquire) => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory, metadata: 'first' });
    const told = listen();
    await expect(acquire(directory)).rejects.toThrow(LockHeldError);
    const holder = expect.objectContaining({ pid: process.pid, metadata: 'first' });
    const path = lockPath('bot', { directory });
    expect(told).toEqual([
      ['kernel-lock:refused', { name: 'bot', path, shared: false, waitedMs: 0, holder }],
    ]);
  });

  test('a refusal of tryLock, which finds the holder for it', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const told = listen();
    expect(tryLock('bot', { directory })).toBeNull();
    expect(told).toMatchObject([['kernel-lock:refused', { holder: { pid: process.pid } }]]);
  });

  test.each(['lock', 'lockSync'])('a wait of %s in vain', async (method) => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const told = listen();
    const options = { directory, wait: 50 };
    await expect(
      (async () => (method === 'lock' ? lock('bot', options) : lockSync('bot', options)))(),
    ).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    expect(names(told)).toEqual(['waited', 'refused']);
    const waitedMs = expect.toSatisfy((value) => value > 40 && value < 60_000);
    expect(told).toMatchObject([
      ['kernel-lock:waited', { outcome: 'timeout', waitedMs }],
      ['kernel-lock:refused', { waitedMs, holder: { pid: process.pid } }],
    ]);
  });

  test('a wait with its grant', async () => {
    const directory = freshDirectory();
    const held = lockSync('bot', { directory });
    const told = listen();
    const waiting = lock('bot', { directory, wait: true });
    held.release();
    (await waiting).release();
    expect(names(told)).toEqual(['released', 'waited', 'acquired', 'released']);
    expect(told[1]).toMatchObject(['kernel-lock:waited', { outcome: 'acquired' }]);
    const [waited, acquired] = told.slice(1) as unknown as [Timed, Timed];
    expect(waited[1].waitedMs).toBe(acquired[1].waitedMs);
    expect(acquired[1].waitedMs).toBeGreaterThan(0);
  });

  test('a synchronous wait with its grant', async () => {
    const directory = freshDirectory();
    const other = await Actor.start();
    const id = await other.lock('bot', { directory });
    const told = listen();
    other.tell('releaseWhenWaitedFor', id, 'bot', { directory });
    lockSync('bot', { directory, wait: true }).release();
    expect(names(told)).toEqual(['waited', 'acquired', 'released']);
  });

  test('a cancelled wait, and no acquisition', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const told = listen();
    const reason = new Error('enough');
    const controller = new AbortController();
    const waiting = lock('bot', { directory, wait: true, signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(lock('bot', { directory, signal: controller.signal })).rejects.toBe(reason);
    expect(told).toMatchObject([
      ['kernel-lock:waited', { outcome: 'cancelled', waitedMs: milliseconds }],
    ]);
  });

  test('a loss, in place of the release', async () => {
    const directory = freshDirectory();
    const told = listen();
    const path = lockPath('bot', { directory });
    const held = lockSync('bot', { directory });
    held.signal.addEventListener('abort', () => {});
    unlinkSync(path);
    await expect.poll(() => held.signal.aborted, POLL).toBe(true);
    held.release();
    expect(names(told)).toEqual(['acquired', 'lost']);
    const error = held.signal.reason;
    expect(told[1]?.[1]).toEqual({ name: 'bot', path, shared: false, heldMs: milliseconds, error });
  });

  test('once a loss that came before anybody asked', async () => {
    const directory = freshDirectory();
    const told = listen();
    const held = lockSync('bot', { directory });
    unlinkSync(held.path);
    expect(held.signal.aborted).toBe(true);
    held.release();
    expect(names(told)).toEqual(['acquired', 'lost']);
  });

  test('a loss that nobody watched for as a release', () => {
    const directory = freshDirectory();
    const told = listen();
    const held = lockSync('bot', { directory });
    renameSync(held.path, `${held.path}.gone`);
    held.release();
    expect(names(told)).toEqual(['acquired', 'released']);
  });

  test('a failed wait', async () => {
    const directory = freshDirectory();
    const held = lockSync('bot', { directory });
    const told = listen();
    const waiting = lock('bot', { directory, wait: true });
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    renameSync(directory, `${directory}-gone`);
    held.release();
    await expect(waiting).rejects.toMatchObject({ code: 'LOCK_PERMISSION' });
    expect(names(told)).toEqual(['released', 'waited']);
    expect(told[1]).toMatchObject(['kernel-lock:waited', { outcome: 'failed' }]);
  });

  test('nothing of bad input', async () => {
    const told = listen();
    await expect(lock('../bot')).rejects.toMatchObject({ code: 'LOCK_INVALID_NAME' });
    expect(() => tryLock('bot', { directory: 'here' })).toThrow('directory');
    expect(told).toEqual([]);
  });
});

test('each lock of a crowd is released once', async () => {
  const directory = freshDirectory();
  const told = listen();
  const results = await Promise.allSettled(
    [...Array(300).keys()].map((i) => {
      const signal = i % 5 === 0 ? AbortSignal.timeout(i % 7) : undefined;
      const wait = i % 3 === 0 ? i % 11 : true;
      return withLock(`bot${i % 4}`, { directory, wait, signal, shared: i % 6 === 0 }, () => {});
    }),
  );
  const count = (name: string) => names(told).filter((other) => other === name).length;
  const granted = results.filter(({ status }) => status === 'fulfilled').length;
  expect([count('acquired'), count('released'), count('lost')]).toEqual([granted, granted, 0]);
  const timedOut = results.filter(
    (result) => result.status === 'rejected' && result.reason.code === 'LOCK_TIMEOUT',
  ).length;
  expect(count('refused')).toBe(timedOut);
});

describe('a subscriber', () => {
  // What it throws is an uncaught exception of the program; the lock's own work is done.
  test('that throws breaks no locking', async () => {
    const directory = freshDirectory();
    const code = `
      import diagnostics from 'node:diagnostics_channel';
      import { lock, lockSync, tryLock } from '${LIBRARY}';
      const thrown = [];
      process.on('uncaughtException', (error) => thrown.push(error.message));
      for (const name of ${JSON.stringify(CHANNELS)}) {
        diagnostics.subscribe('kernel-lock:' + name, () => { throw new Error(name); });
      }
      const options = { directory: process.argv[1] };
      const held = lockSync('bot', options);
      const states = [held.held, tryLock('bot', options)];
      const waiting = lock('bot', { ...options, wait: true });
      held.release();
      const second = await waiting;
      states.push(held.held, second.held);
      second.release();
      states.push(second.held);
      setImmediate(() => console.log(JSON.stringify([states, thrown])));`;
    const { status, stdout } = await run(process.execPath, [
      ...['--input-type=module', '-e', code, directory],
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      [true, null, false, true, false],
      ['acquired', 'refused', 'released', 'waited', 'acquired', 'released'],
    ]);
  });

  test('may release the lock it hears of, and acquire another', () => {
    const directory = freshDirectory();
    const told = listen();
    let again: ReturnType<typeof tryLock> = null;
    const onReleased = () => {
      diagnostics.unsubscribe('kernel-lock:released', onReleased);
      held.release();
      again = tryLock('bot', { directory });
    };
    diagnostics.subscribe('kernel-lock:released', onReleased);
    const held = lockSync('bot', { directory });
    held.release();
    expect(again).not.toBeNull();
    (again as unknown as ReturnType<typeof lockSync>).release();
    expect(names(told)).toEqual(['acquired', 'released', 'acquired', 'released']);
  });

  test('hears nothing of other threads', async () => {
    const directory = freshDirectory();
    const told = listen();
    const code = `
      const diagnostics = require('node:diagnostics_channel');
      const { parentPort, workerData } = require('node:worker_threads');
      diagnostics.subscribe('kernel-lock:acquired', () => parentPort.postMessage('told'));
      import('${LIBRARY}').then(({ lockSync }) => lockSync('bot', workerData).release());`;
    const worker = new Worker(code, { eval: true, workerData: { directory } });
    const messages: unknown[] = [];
    worker.on('message', (message) => messages.push(message));
    await new Promise((resolve) => worker.on('exit', resolve));
    expect(messages).toEqual(['told']);
    expect(told).toEqual([]);
  });
});
