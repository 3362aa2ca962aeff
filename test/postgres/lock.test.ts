import diagnostics from 'node:diagnostics_channel';
import { hostname } from 'node:os';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { LockError, LockHeldError, LockTimeoutError } from '../../dist/index.js';
import {
  connect,
  inspect,
  killRunning,
  list,
  lock,
  tryLock,
  withLock,
} from '../../dist/postgres.js';
import { requireProgram, requireRoot } from '../support/requires.js';
import { freshName } from '../support/scratch.js';
import { Actor } from './support/actor.js';
import { Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

let server: Server;
let at: { connectionString: string };

beforeAll(async () => {
  server = await Server.start();
  at = { connectionString: server.url() };
});
afterAll(() => server.stop());

const settled = () => nothingLeft(server);

describe('a lock', () => {
  test('is held by one session until it is released', async () => {
    const name = freshName();
    const held = await lock(name, at);
    expect(held).toMatchObject({ name, shared: false, held: true, token: expect.any(BigInt) });
    expect(held.path).toBe(`postgresql://127.0.0.1:${server.port}/postgres`);
    expect(await tryLock(name, at)).toBeNull();
    const error = await lock(name, at).catch((reason) => reason);
    expect(error).toBeInstanceOf(LockHeldError);
    expect(error).toBeInstanceOf(LockError);
    expect(error).toMatchObject({ code: 'LOCK_HELD', lockName: name });
    expect(error.holder).toMatchObject({
      pid: process.pid,
      hostname: hostname(),
      token: held.token,
    });
    await held.release();
    await held.release();
    expect(held.held).toBe(false);
    const next = await tryLock(name, at);
    expect(next?.token).toBe(held.token + 1n);
    await next?.release();
    await settled();
  });

  test('is waited for in line, and timed out', async () => {
    const name = freshName();
    const held = await lock(name, at);
    const order: number[] = [];
    const waits = [];
    for (const i of [1, 2, 3]) {
      waits.push(
        lock(name, { ...at, wait: true }).then(async (mine) => {
          order.push(i);
          await mine.release();
        }),
      );
      await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: i });
    }
    const late = await lock(name, { ...at, wait: 50 }).catch((reason) => reason);
    expect(late).toBeInstanceOf(LockTimeoutError);
    expect(late).toMatchObject({ code: 'LOCK_TIMEOUT', holder: { pid: process.pid } });
    expect(await server.locks()).toEqual({ held: 1, waiting: 3 });
    await held.release();
    await Promise.all(waits);
    expect(order).toEqual([1, 2, 3]);
    await settled();
  });

  test('is not waited for any more when the signal aborts', async () => {
    const name = freshName();
    const held = await lock(name, at);
    const controller = new AbortController();
    const reason = new Error('enough');
    const wait = lock(name, { ...at, wait: true, signal: controller.signal });
    const outcome = wait.catch((error) => error);
    await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
    controller.abort(reason);
    expect(await outcome).toBe(reason);
    expect(await server.locks()).toEqual({ held: 1, waiting: 0 });
    await held.release();
    await settled();
  });

  test('is shared by readers, and a writer waits for all of them', async () => {
    const name = freshName();
    const one = await lock(name, { ...at, shared: true });
    const two = await lock(name, { ...at, shared: true });
    expect(two.token).toBe(one.token + 1n);
    expect(await inspect(name, at)).toMatchObject({ held: true, shared: true });
    expect(await tryLock(name, at)).toBeNull();
    const writer = lock(name, { ...at, wait: true });
    await expect.poll(() => server.locks()).toEqual({ held: 2, waiting: 1 });
    // No reader gets ahead of a writer who waits.
    expect(await tryLock(name, { ...at, shared: true })).toBeNull();
    await one.release();
    await two.release();
    await (await writer).release();
    await settled();
  });

  test('has the next token where those that were reserved are used up', async () => {
    const name = freshName();
    await (await lock(name, at)).release();
    const nearTheEnd = async () => {
      const rows = await server.sql(
        'UPDATE kernel_lock_grant SET token = reserved - 3 WHERE name = $1 RETURNING reserved',
        [name],
      );
      return BigInt(rows[0]?.reserved as string);
    };
    const reserved = await nearTheEnd();
    await using connection = await connect(at);
    const tokens: bigint[] = [];
    for (let i = 0; i < 6; i++) {
      const held = await connection.lock(name);
      tokens.push(held.token);
      await held.release();
    }
    const [, , last, first = 0n] = tokens;
    expect(last).toBe(reserved);
    expect(first).toBeGreaterThan(reserved);
    expect(tokens.slice(3)).toEqual([first, first + 1n, first + 2n]);
    const used = await nearTheEnd();
    const readers = await Promise.all(
      Array.from({ length: 10 }, () => lock(name, { ...at, shared: true })),
    );
    const theirs = readers.map(({ token }) => token).sort((a, b) => Number(a - b));
    expect(new Set(theirs).size).toBe(10);
    expect(theirs[0]).toBe(used - 2n);
    await Promise.all(readers.map((reader) => reader.release()));
    const writer = await connection.lock(name);
    expect(writer.token).toBeGreaterThan(theirs[9] as bigint);
    await writer.release();
    await connection.close();
    await settled();
  });

  test('runs a function, and is released after it in any case', async () => {
    const name = freshName();
    expect(await withLock(name, at, ({ held, name: mine }) => [held, mine])).toEqual([true, name]);
    await expect(
      withLock(name, at, () => {
        throw new Error('mine');
      }),
    ).rejects.toThrow('mine');
    // Who has lost it meanwhile is told, although the function went on.
    const lost = withLock(name, at, async ({ signal }) => {
      const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
      await expect(killRunning(name, at)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
      for (const pid of await server.sessions()) {
        await server.sql('SELECT pg_terminate_backend($1)', [pid]);
      }
      await aborted;
    });
    await expect(lost).rejects.toMatchObject({ code: 'LOCK_LOST' });
    await settled();
  });
});

test('what happens is told on the same channels', async () => {
  const name = freshName();
  const told: [event: string, what: unknown][] = [];
  for (const event of ['waited', 'acquired', 'refused', 'released', 'lost']) {
    const hear = (message: unknown) => {
      const { name: about, outcome, holder, error } = message as Record<string, never>;
      if (about !== name) return;
      const { pid } = (holder ?? {}) as { pid?: number };
      told.push([event, outcome ?? pid ?? (error as { code?: string } | undefined)?.code]);
    };
    diagnostics.subscribe(`kernel-lock:${event}`, hear);
    onTestFinished(() => void diagnostics.unsubscribe(`kernel-lock:${event}`, hear));
  }
  const held = await lock(name, at);
  expect(await tryLock(name, at)).toBeNull();
  await expect(lock(name, { ...at, wait: 20 })).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
  const wait = lock(name, { ...at, wait: true });
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  // One who waits keeps VACUUM from rows that died since: the documentation says so.
  const [row] = await server.sql(
    'SELECT backend_xmin IS NOT NULL AS holds FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE NOT granted',
  );
  expect(row).toEqual({ holds: true });
  await held.release();
  const next = await wait;
  const lost = new Promise((resolve) => next.signal.addEventListener('abort', resolve));
  await server.sql(
    'SELECT pg_terminate_backend(pid) FROM pg_locks WHERE granted AND locktype = $1',
    ['advisory'],
  );
  await lost;
  await next.release();
  // The answer to the release comes on another connection than the grant: first, or later.
  const isRelease = ([event]: [string, unknown]) => event === 'released';
  expect(told.filter(isRelease)).toHaveLength(1);
  expect([4, 5, 6]).toContain(told.findIndex(isRelease)); // after the second refusal, before the loss
  expect(told.filter((one) => !isRelease(one))).toEqual([
    ['acquired', undefined],
    ['refused', process.pid],
    ['waited', 'timeout'],
    ['refused', process.pid],
    ['waited', 'acquired'],
    ['acquired', undefined],
    ['lost', 'LOCK_LOST'],
  ]);
  await settled();
});

describe('a connection', () => {
  test('holds many locks on one session', async () => {
    await using connection = await connect(at);
    const names = Array.from({ length: 100 }, () => freshName());
    const locks = await Promise.all(names.map((name) => connection.lock(name)));
    expect(await server.locks()).toEqual({ held: 100, waiting: 0 });
    expect(await server.sessions()).toHaveLength(1);
    expect((await connection.list()).map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const one of locks) await one.release();
    expect(await server.locks()).toEqual({ held: 0, waiting: 0 });
    await connection.close();
    await settled();
  });

  test('does not grant a name twice, which the server would', async () => {
    await using connection = await connect(at);
    const name = freshName();
    const [first, second] = await Promise.all([connection.tryLock(name), connection.tryLock(name)]);
    expect([first?.held, second]).toEqual([true, null]);
    await expect(connection.lock(name)).rejects.toMatchObject({ code: 'LOCK_HELD' });
    const waits = connection.lock(name, { wait: true });
    await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
    await first?.release();
    const third = await waits;
    expect(third.token).toBe((first?.token ?? 0n) + 1n);
    await third.release();
    const readers = await Promise.all([1, 2, 3].map(() => connection.lock(name, { shared: true })));
    expect(new Set(readers.map(({ token }) => token)).size).toBe(3);
    for (const reader of readers) await reader.release();
    expect(await server.locks()).toEqual({ held: 0, waiting: 0 });
    await connection.close();
    await settled();
  });

  test('that is closed has lost its locks', async () => {
    const connection = await connect(at);
    const held = await connection.lock(freshName());
    await connection.close();
    expect(held.held).toBe(false);
    expect(held.signal.reason).toMatchObject({ code: 'LOCK_LOST' });
    await held.release();
    await settled();
  });
});

describe('who holds it', () => {
  test('is told by inspect and list', async () => {
    const name = freshName();
    const before = Date.now();
    const held = await lock(name, { ...at, metadata: { shard: 7 } });
    const waits = lock(name, { ...at, wait: true });
    await expect.poll(async () => (await inspect(name, at)).waiters).toBe(1);
    const status = await inspect(name, at);
    expect(status).toMatchObject({ name, path: held.path, held: true, shared: false, unknown: [] });
    expect(status.holders).toHaveLength(1);
    expect(status.holders[0]).toMatchObject({
      pid: process.pid,
      hostname: hostname(),
      user: 'postgres',
      applicationName: 'kernel-lock',
      clientAddress: '127.0.0.1',
      status: 'idle',
      metadata: { shard: 7 },
      token: held.token,
      source: 'server',
    });
    expect(Math.abs(Number(status.holders[0]?.acquiredAt) - before)).toBeLessThan(10_000);
    expect((await list(at)).map((one) => one.name)).toContain(name);
    await held.release();
    await (await waits).release();
    expect(await inspect(name, at)).toMatchObject({ held: false, holders: [], waiters: 0 });
    await settled();
  });

  test.each([
    'nul \0',
    'half of a pair \ud83d',
    { '\0': 1 },
    { b: 1, a: [null, 1e300, 'ä', '📍'] },
  ])('is told with its metadata, whatever JSON that is: %j', async (metadata) => {
    const name = freshName();
    // The first grant of a name, and the next.
    for (let i = 0; i < 2; i++) {
      const held = await lock(name, { ...at, metadata });
      expect((await inspect(name, at)).holders).toMatchObject([{ metadata }]);
      await held.release();
    }
    await settled();
  });

  test('is told where the role has a DateStyle and a TimeZone of its own', async () => {
    const name = freshName();
    const settings = encodeURIComponent('-c datestyle=SQL,DMY -c timezone=Asia/Kolkata');
    const there = { connectionString: `${server.url()}?options=${settings}` };
    const before = Date.now();
    const held = await lock(name, there);
    for (const from of [at, there]) {
      const { holders, unknown } = await inspect(name, from);
      expect(unknown).toEqual([]);
      expect(holders).toMatchObject([{ pid: process.pid, token: held.token }]);
      expect(Math.abs(Number(holders[0]?.acquiredAt) - before)).toBeLessThan(10_000);
      await expect(killRunning(name, from)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
    }
    await held.release();
    await settled();
  });

  test('is another program, of which less is known', async () => {
    const name = freshName();
    await (await lock(name, at)).release();
    const psql = await server.client();
    await psql.query(
      `SELECT pg_advisory_lock(('x' || left(encode(sha256($1), 'hex'), 16))::bit(64)::bigint)`,
      [name],
    );
    const [{ pid: backendPid } = {}] = (await psql.query('SELECT pg_backend_pid() AS pid')).rows;
    const error = await lock(name, at).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'LOCK_HELD', holder: { pid: undefined, backendPid } });
    expect(error.message).toContain(`session ${backendPid}`);
    expect(error.unknown[0]).toContain('another program');
    expect(await killRunning(name, at)).toBe(true);
    await psql.end().catch(() => {});
    await settled();
  });

  test('is not this process where it has the same pid on the same host', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const name = freshName();
    const alone = ['unshare', '--pid', '--fork', '--kill-child'];
    const [one, two] = [
      await Actor.start(server.url(), undefined, alone),
      await Actor.start(server.url(), undefined, alone),
    ];
    await one.ask('lock', name);
    const error = await two.ask('lock', name).catch((reason: Error) => reason);
    expect(error).toMatchObject({ code: 'LOCK_HELD' });
    expect(String(error)).toContain('PID 1 ');
    expect(String(error)).not.toContain('this process');
  });

  test('may not be ended by a role that is not the holder', async () => {
    const name = freshName();
    await server.sql('CREATE ROLE another LOGIN');
    const held = await lock(name, at);
    const theirs = { connectionString: server.url('another') };
    expect(await inspect(name, theirs)).toMatchObject({ held: true });
    await server.sql('GRANT SELECT ON kernel_lock, kernel_lock_grant TO another');
    const { unknown } = await inspect(name, theirs);
    expect(unknown.join()).toContain('pg_read_all_stats');
    await expect(killRunning(name, theirs)).rejects.toMatchObject({ code: 'LOCK_PERMISSION' });
    expect(held.held).toBe(true);
    await held.release();
    await settled();
  });

  test('loses it by killRunning', async () => {
    const name = freshName();
    const actor = await Actor.start(server.url());
    await actor.ask('lock', name);
    await expect(killRunning(name, at)).resolves.toBe(true);
    expect(await actor.event('lost')).toMatchObject({ code: 'LOCK_LOST' });
    expect(await killRunning(name, at)).toBe(false);
    const held = await lock(name, at);
    await expect(killRunning(name, at)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
    await held.release();
    await settled();
  });
});
