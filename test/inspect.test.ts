// Asking who holds a lock: what the kernel says, and that asking disturbs nobody.
import { readFileSync, realpathSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkRunning, inspect, list, lock, lockSync } from '../dist/index.js';
import { Actor } from './support/actor.js';
import { requireProgram, requireRoot } from './support/requires.js';
import { CLI, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };

describe('inspect', () => {
  test('tells everything about the holder', async () => {
    const options = { directory: freshDirectory() };
    const cwd = freshDirectory();
    const holder = await Actor.start({ cwd });
    const before = Date.now();
    await holder.lockSync('bot', { ...options, metadata: { mode: 'production' } });
    const status = inspect('bot', options);
    expect(status).toMatchObject({ name: 'bot', held: true, shared: false, waiters: 0 });
    const [found] = status.holders;
    expect(found).toMatchObject({
      pid: holder.pid,
      executable: realpathSync(process.execPath),
      argv: [process.execPath, expect.stringMatching(/actor\.mjs$/)],
      cwd: realpathSync(cwd),
      hostname: expect.any(String),
      user: expect.any(String),
      status: expect.stringMatching(/^(running|sleeping|disk sleep)$/),
      metadata: { mode: 'production' },
      source: 'kernel',
    });
    expect(found?.cpuPercent).toBeGreaterThanOrEqual(0);
    const rss =
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${holder.pid}/status`, 'utf8'))?.[1]) * 1024;
    expect(found?.memoryBytes).toBeGreaterThan(rss / 2);
    expect(found?.memoryBytes).toBeLessThan(rss * 2);
    expect(Math.abs((found?.acquiredAt?.getTime() ?? 0) - before)).toBeLessThan(10_000);
    expect(found?.processStartedAt?.getTime()).toBeLessThanOrEqual(
      found?.acquiredAt?.getTime() ?? 0,
    );
  });

  test('tells all readers of a shared lock', async () => {
    const options = { directory: freshDirectory() };
    const readers = await Promise.all([Actor.start(), Actor.start(), Actor.start()]);
    for (const reader of readers) await reader.lockSync('data', { ...options, shared: true });
    const { shared, holders } = inspect('data', options);
    expect(shared).toBe(true);
    expect(holders.map(({ pid }) => pid).sort()).toEqual(readers.map(({ pid }) => pid).sort());
  });

  test('tells that a stopped holder is stopped', async () => {
    const options = { directory: freshDirectory() };
    const holder = await Actor.start();
    await holder.lockSync('bot', options);
    holder.signal('SIGSTOP');
    let status: string | undefined;
    while (status !== 'stopped') status = inspect('bot', options).holders[0]?.status;
    expect(checkRunning('bot', options)).toBe(true);
    holder.signal('SIGCONT');
  });

  test('is not fooled by a holder whose name looks like a record of /proc', async () => {
    const options = { directory: freshDirectory() };
    const title = "process.title = 'a) R 1 1 1'; await import(process.argv[1])";
    const actor = new URL('./support/actor.mjs', import.meta.url).pathname;
    const holder = await Actor.start({
      prefix: ['sh', '-c', `exec "$0" --input-type=module -e "${title}" ${actor}`],
    });
    await holder.lockSync('bot', options);
    expect(inspect('bot', options).holders).toEqual([
      expect.objectContaining({
        pid: holder.pid,
        metadata: undefined,
        hostname: expect.any(String),
      }),
    ]);
  });
});

describe('list', () => {
  test('has the held locks, by name', async () => {
    const options = { directory: freshDirectory() };
    const holder = await Actor.start();
    lockSync('free', options).release();
    await holder.lockSync('b', options);
    await holder.lockSync('a', { ...options, shared: true });
    expect(
      list(options).map(({ name, shared, holders }) => [name, shared, holders[0]?.pid]),
    ).toEqual([
      ['a', true, holder.pid],
      ['b', false, holder.pid],
    ]);
  });
});

describe('a lock table of many pages, torn by those who come and go', () => {
  test('never makes a held lock look free', { timeout: 60_000 }, async () => {
    const options = { directory: freshDirectory() };
    const held = Array.from({ length: 300 }, (_, index) => lockSync(`held${index}`, options));
    const churner = await Actor.start();
    let over = false;
    void churner.ask('churn', 'churned', options, 30_000).then(() => {
      over = true;
    });
    const missed: string[] = [];
    for (let index = 0; !over; index = (index + 1) % held.length) {
      const { name } = held[index] as (typeof held)[0];
      if (!checkRunning(name, options)) missed.push(name);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(missed).toEqual([]);
    for (const one of held) one.release();
  });

  test('never hides one of several readers', { timeout: 60_000 }, async () => {
    const directory = freshDirectory();
    const options = { directory, shared: true };
    const names = Array.from({ length: 300 }, (_, index) => `read${index}`);
    const [reader, ...churners] = (await Promise.all([0, 1, 2].map(() => Actor.start()))) as [
      Actor,
      ...Actor[],
    ];
    const held = names.map((name) => lockSync(name, options));
    for (const name of names) await reader.lockSync(name, options);
    let over = false;
    const churned = churners.map(({ pid }, index) =>
      churners[index]?.ask('churn', `churned${pid}`, { directory }, 60_000),
    );
    void Promise.all(churned).then(() => {
      over = true;
    });
    const missed: string[] = [];
    for (let index = 0; !over; index = (index + 1) % names.length) {
      const name = names[index] as string;
      const pids = inspect(name, { directory }).holders.map(({ pid }) => pid);
      if (!pids.includes(process.pid) || !pids.includes(reader.pid)) missed.push(name);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(missed).toEqual([]);
    for (const one of held) one.release();
  });

  test('never tells of a waiter twice', { timeout: 60_000 }, async () => {
    const options = { directory: freshDirectory() };
    const names = Array.from({ length: 100 }, (_, index) => `held${index}`);
    const [holder, ...churners] = (await Promise.all([0, 1, 2].map(() => Actor.start()))) as [
      Actor,
      ...Actor[],
    ];
    for (const name of names) await holder.lockSync(name, options);
    const [end, ended] = [new AbortController(), new Error('over')];
    const waits = names.map((name) => lock(name, { ...options, wait: true, signal: end.signal }));
    const all = Promise.allSettled(waits);
    const waiters = (name: string) => inspect(name, options).waiters;
    for (const name of names) await expect.poll(() => waiters(name), POLL).toBe(1);
    let over = false;
    const churned = churners.map((one) => one.ask('churn', `churned${one.pid}`, options, 30_000));
    void Promise.all(churned).then(() => {
      over = true;
    });
    const told = new Set<number | undefined>();
    for (let index = 0; !over; index = (index + 1) % names.length) {
      told.add(waiters(names[index] as string));
      await new Promise((resolve) => setImmediate(resolve));
    }
    end.abort(ended);
    expect([...told]).toEqual([1]);
    for (const one of await all) expect(one).toMatchObject({ reason: ended });
  });
});

describe('in a PID namespace of its own', () => {
  const library = new URL('../dist/index.js', import.meta.url).href;
  const inside = (directory: string, expression: string) =>
    run('unshare', [
      '--pid',
      '--fork',
      '--mount-proc',
      process.execPath,
      '--input-type=module',
      '-e',
      `import { checkRunning, inspect, killRunning, tryLock } from '${library}';
       const options = { directory: ${JSON.stringify(directory)} };
       console.log(JSON.stringify(${expression}));`,
    ]);

  test('a holder outside is not called free, and known by its record only', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const options = { directory: freshDirectory() };
    using _held = lockSync('bot', { ...options, metadata: 'outside' });
    const { stdout } = await inside(options.directory, `inspect('bot', options)`);
    expect(JSON.parse(stdout)).toMatchObject({
      held: true,
      shared: false,
      holders: [{ source: 'record', metadata: 'outside', pid: process.pid }],
    });
    using _reader = lockSync('data', { ...options, shared: true });
    const shared = await inside(options.directory, `inspect('data', options)`);
    expect(JSON.parse(shared.stdout)).toMatchObject({ held: true, shared: true });
  });

  test('a holder outside is not killed, and not called gone', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const options = { directory: freshDirectory() };
    using held = lockSync('bot', options);
    const end = await inside(
      options.directory,
      `await killRunning('bot', options).catch((error) => [error.code, error.message])`,
    );
    expect(JSON.parse(end.stdout)).toEqual([
      'LOCK_PERMISSION',
      "'bot' is still held: the holder can not be found from here, nor be asked",
    ]);
    expect(held.held).toBe(true);
  });

  test('a child that holds on for its dead parent is found, and killed', async (context) => {
    requireRoot(context);
    for (const program of ['unshare', 'flock']) requireProgram(context, program);
    const { directory } = { directory: freshDirectory() };
    const script = `( exec 9> '${directory}/bot.lock'; flock 9; exec 1>&- 2>&-; sleep 60 & )
      "$@"; flock -n '${directory}/bot.lock' echo freed`;
    const program = `import { inspect, killRunning } from '${library}';
      const options = { directory: ${JSON.stringify(directory)} };
      const program = () => inspect('bot', options).holders[0]?.argv?.[0];
      // The child is still a shell at first.
      while (program() !== 'sleep') await new Promise((resolve) => setTimeout(resolve, 5));
      console.log(await killRunning('bot', options));`;
    const words = [
      'sh',
      '-c',
      script,
      'sh',
      process.execPath,
      '--input-type=module',
      '-e',
      program,
    ];
    const end = await run('unshare', ['--pid', '--fork', '--mount-proc', ...words]);
    expect(end).toMatchObject({ status: 0, stdout: 'true\nfreed\n' });
  });

  test('a free lock is free, and can be had', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { directory } = { directory: freshDirectory() };
    const expression = `[checkRunning('bot', options), tryLock('bot', options) !== null, checkRunning('bot', options)]`;
    expect(await inside(directory, expression)).toMatchObject({ stdout: '[false,true,true]\n' });
  });
});

describe('without /proc', () => {
  test('locking works: held is held, though nobody can be named by the kernel', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const options = { directory: freshDirectory() };
    using _held = lockSync('bot', options);
    const program = `
      import { lock, tryLock } from '${new URL('../dist/index.js', import.meta.url).href}';
      const options = { directory: ${JSON.stringify(options.directory)} };
      const codeOf = (wait) => lock('bot', { ...options, wait }).catch(({ code }) => code);
      console.log(tryLock('bot', options), await codeOf(false), await codeOf(10));
      tryLock('free', options).release();`;
    const script = 'mount -t tmpfs tmpfs /proc && exec "$@"';
    const words = ['sh', process.execPath, '--input-type=module', '-e', program];
    const end = await run('unshare', ['--mount', 'sh', '-c', script, ...words]);
    expect(end).toEqual({ status: 0, stdout: 'null LOCK_HELD LOCK_TIMEOUT\n', stderr: '' });
  });
});

describe('where /proc/locks is masked', () => {
  test('nothing is called free', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const options = { directory: freshDirectory() };
    using _held = lockSync('bot', options);
    const script = 'mount --bind /dev/null /proc/locks && exec "$@"';
    const check = [CLI, 'check', 'bot', '--directory', options.directory];
    const end = await run('unshare', [
      '--mount',
      'sh',
      '-c',
      script,
      'sh',
      process.execPath,
      ...check,
    ]);
    expect(end).toMatchObject({ status: 71, stdout: '' });
  });
});

describe('asking', () => {
  test('10,000 times makes none of 10,000 acquisitions fail', { timeout: 60_000 }, async () => {
    const options = { directory: freshDirectory() };
    const [starter, asker] = await Promise.all([Actor.start(), Actor.start()]);
    const [refused, seen] = await Promise.all([
      starter.ask<number>('churn', 'bot', options, 10_000),
      asker.ask<number>('checks', 'bot', options, 10_000),
    ]);
    expect(refused).toBe(0);
    expect(seen).toBeGreaterThanOrEqual(0);
  });
});
