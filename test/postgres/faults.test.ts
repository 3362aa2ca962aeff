// What is promised when a part of it dies, and what is not.

import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connect, inspect, type Lock, lock } from '../../dist/postgres.js';
import { requireProgram, requireRoot } from '../support/requires.js';
import { freshName } from '../support/scratch.js';
import { Actor } from './support/actor.js';
import { Network } from './support/network.js';
import { Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

let server: Server;
let at: { connectionString: string };

beforeAll(async () => {
  server = await Server.start({ max_connections: 250 });
  at = { connectionString: server.url() };
});
afterAll(() => server.stop());

/** How long until the signal aborts, and why. */
async function loss({ signal }: Lock): Promise<{ ms: number; reason: Error & { code: string } }> {
  const started = performance.now();
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }
  return { ms: performance.now() - started, reason: signal.reason };
}

test.each([
  ['is killed', 'SIGKILL'],
  ['is stopped at once', 'SIGQUIT'],
  ['is stopped in order', 'SIGINT'],
] as const)(
  'the server %s: the lock is lost at once, and the token goes on after it',
  async (_, signal) => {
    const name = freshName();
    // Granted in memory: of these tokens, only that they are reserved is on the disk.
    for (let i = 0; i < 3; i++) await (await lock(name, at)).release();
    const held = await lock(name, at);
    const lost = loss(held);
    await server.stop(signal);
    const { ms, reason } = await lost;
    expect(reason.code).toBe('LOCK_LOST');
    expect(ms).toBeLessThan(4000);
    expect(held.held).toBe(false);
    await expect(lock(name, at)).rejects.toMatchObject({ code: 'LOCK_CONNECTION' });
    await held.release();
    await server.boot();
    const next = await lock(name, at);
    expect(next.token).toBeGreaterThan(held.token);
    await next.release();
    await nothingLeft(server);
  },
);

test('one process of the server crashes, and all are started again: the token goes on', async () => {
  const name = freshName();
  for (let i = 0; i < 3; i++) await (await lock(name, at)).release();
  const held = await lock(name, at);
  const lost = loss(held);
  const [backend] = await server.sessions();
  process.kill(backend as number, 'SIGKILL');
  expect((await lost).reason.code).toBe('LOCK_LOST');
  let next: Lock | undefined;
  await expect
    .poll(async () => {
      next = await lock(name, at).catch(() => undefined);
      return next?.held;
    })
    .toBe(true);
  expect(next?.token).toBeGreaterThan(held.token);
  await next?.release();
  await nothingLeft(server);
});

test('the session is ended by the server: lost at once, for all locks that share it', async () => {
  await using connection = await connect(at);
  const locks = [await connection.lock(freshName()), await connection.lock(freshName())];
  await server.sql(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
    ['kernel-lock'],
  );
  for (const one of locks) expect((await loss(one)).reason.code).toBe('LOCK_LOST');
  await expect(connection.lock(freshName())).rejects.toMatchObject({ code: 'LOCK_CONNECTION' });
  await nothingLeft(server);
});

test('the server hangs: lost when a heartbeat was not answered in time', async () => {
  const name = freshName();
  let asked = 0;
  const client = () => {
    const made = new pg.Client({ ...at, application_name: 'kernel-lock' });
    const query = made.query.bind(made) as (config: unknown) => Promise<unknown>;
    return Object.assign(made, {
      query: (config: unknown) => {
        asked = performance.now();
        return query(config);
      },
    });
  };
  const held = await lock(name, { client, heartbeat: 1000 });
  // Long enough to be seen waiting; it ends while the server hangs.
  const waits = lock(name, { ...at, heartbeat: 1000, wait: 5000 }).catch((error) => error);
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  const thaw = server.freeze();
  try {
    const { ms, reason } = await loss(held);
    expect(reason).toMatchObject({ code: 'LOCK_LOST' });
    expect(reason.message).toContain('1000 ms');
    // From the heartbeat on, which may be older than the standstill; a timer counts whole milliseconds.
    expect(performance.now() - asked).toBeGreaterThan(998);
    expect(ms).toBeLessThan(4000); // half a heartbeat, and one, and a busy machine
    expect(await waits).toMatchObject({ code: 'LOCK_TIMEOUT' });
  } finally {
    thaw();
  }
  await held.release();
  await nothingLeft(server);
});

test('a busy process is no reason to doubt', async () => {
  // A server that pauses for a heartbeat is a reason.
  const heartbeat = 1500;
  const held = await lock(freshName(), { ...at, heartbeat });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000);
  await sleep(2 * heartbeat); // half of one, and one, and it would be lost
  expect(held.held).toBe(true);
  await held.release();
});

test('the client is killed: the next one has the lock at once', async () => {
  const name = freshName();
  const actor = await Actor.start(server.url());
  await actor.ask('lock', name);
  const waits = lock(name, { ...at, wait: true });
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  await actor.kill();
  await (await waits).release();
  await nothingLeft(server);
});

test('a client that waits is killed: it leaves the line', async () => {
  const name = freshName();
  const held = await lock(name, at);
  const actor = await Actor.start(server.url());
  actor.ask('lock', name, { wait: true }).catch(() => {});
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  await actor.kill();
  await expect.poll(() => server.locks(), { timeout: 10_000 }).toEqual({ held: 1, waiting: 0 });
  await held.release();
  await nothingLeft(server);
});

test('a client that was stopped while its session was ended knows when it goes on', async () => {
  const name = freshName();
  const actor = await Actor.start(server.url());
  const token = BigInt((await actor.ask('lock', name)) as string);
  actor.signal('SIGSTOP');
  await server.sql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kernel-lock'",
  );
  const next = await lock(name, { ...at, wait: true });
  expect(next.token).toBeGreaterThan(token);
  actor.signal('SIGCONT');
  expect(await actor.event('lost')).toMatchObject({ code: 'LOCK_LOST' });
  await next.release();
});

test('a cut cable: the client knows first, then the server frees the lock, in the documented time', async (context) => {
  requireRoot(context);
  requireProgram(context, 'ip');
  const network = new Network();
  appendFileSync(join(server.data, 'pg_hba.conf'), `host all all ${network.peer}/32 trust\n`);
  appendFileSync(
    join(server.data, 'postgresql.conf'),
    `listen_addresses = '127.0.0.1,${network.address}'\n`,
  );
  await server.restart();
  onTestFinished(async () => {
    appendFileSync(join(server.data, 'postgresql.conf'), "listen_addresses = '127.0.0.1'\n");
  });
  const name = freshName();
  const heartbeat = 2000;
  const url = `postgres://postgres@${network.address}:${server.port}/postgres`;
  const actor = await Actor.start(url, heartbeat, network.prefix);
  await actor.ask('lock', name);
  expect((await inspect(name, at)).holders[0]?.clientAddress).toBe(network.peer);
  const waits = lock(name, { ...at, wait: true });
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  const started = performance.now();
  network.cut();
  const lost = actor.event('lost').then((value) => ({ value, ms: performance.now() - started }));
  const next = await waits;
  const freed = performance.now() - started;
  const { value, ms } = await lost;
  console.log(
    `cut cable, heartbeat ${heartbeat} ms: lost after ${ms.toFixed()} ms, freed after ${freed.toFixed()} ms`,
  );
  expect(value).toMatchObject({ code: 'LOCK_LOST' });
  expect(ms).toBeLessThan(1.5 * heartbeat + 3000);
  expect(ms).toBeLessThan(freed);
  expect(freed).toBeLessThan(5 * heartbeat + 3000);
  await next.release();
  await actor.kill();
  await nothingLeft(server);
});

test('a server that waits for its standby in vain: the session does not stay', async () => {
  const heartbeat = 1000;
  await using connection = await connect({ ...at, heartbeat });
  const other = await connection.lock(freshName());
  await server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  await server.sql('SELECT pg_reload_conf()');
  try {
    // The first of a name: its tokens have to be reserved. Commits wait once the server's checkpointer has
    // heard of the setting.
    let refused: unknown;
    while (refused === undefined) {
      refused = await connection.lock(freshName()).then(
        (early) => early.release(),
        (error) => error,
      );
    }
    expect(refused).toMatchObject({ code: 'LOCK_CONNECTION' });
    expect(other.held).toBe(false);
    await expect.poll(() => server.locks()).toEqual({ held: 0, waiting: 0 });
  } finally {
    await server.sql('ALTER SYSTEM RESET synchronous_standby_names');
    await server.sql('SELECT pg_reload_conf()');
  }
  await nothingLeft(server);
});

test("pg gives a question up (query_timeout): what the server grants later is nobody's for long", async () => {
  const name = freshName();
  await (await lock(name, at)).release();
  const hasty = { connectionString: `${server.url()}?query_timeout=500` };
  await using connection = await connect(hasty);
  const psql = await server.client();
  await psql.query('BEGIN; LOCK kernel_lock_grant');
  await expect(connection.lock(name)).rejects.toMatchObject({ code: 'LOCK_CONNECTION' });
  await psql.query('COMMIT');
  await psql.end();
  await nothingLeft(server);
  const held = await lock(name, at);
  await expect(lock(name, { ...hasty, wait: true })).rejects.toMatchObject({
    code: 'LOCK_CONNECTION',
  });
  await held.release();
  await nothingLeft(server);
});

test('200 clients on one name: one after the other, each with a greater token', async () => {
  const name = freshName();
  let inside = 0;
  let together = 0;
  const tokens: bigint[] = [];
  const turn = async () => {
    const held = await lock(name, { ...at, wait: true });
    together = Math.max(together, ++inside);
    tokens.push(held.token);
    await sleep(1);
    inside--;
    await held.release();
  };
  const first = await lock(name, at);
  const turns: Promise<void>[] = [];
  // Some at a time: logging in has a limit, and a server that starts 200 processes at once has no time.
  while (turns.length < 200) {
    for (let i = 0; i < 20; i++) turns.push(turn());
    await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: turns.length });
  }
  await first.release();
  await Promise.all(turns);
  expect(together).toBe(1);
  expect(tokens).toHaveLength(200);
  expect(tokens.filter((token, i) => i > 0 && token <= (tokens[i - 1] as bigint))).toEqual([]);
  await nothingLeft(server);
});

test('cancels that race grants leave nothing', async () => {
  const name = freshName();
  let granted = 0;
  let given = 0;
  for (let round = 0; round < 40; round++) {
    const held = await lock(name, at);
    const controller = new AbortController();
    const wait = lock(name, { ...at, wait: true, signal: controller.signal });
    const outcome = wait.then(
      async (mine) => {
        granted++;
        await mine.release();
      },
      () => {
        given++;
      },
    );
    await expect.poll(() => server.locks()).toMatchObject({ waiting: 1 });
    await Promise.all([
      held.release(),
      sleep((round % 8) / 2).then(() => controller.abort(new Error('enough'))),
    ]);
    await outcome;
  }
  console.log(`cancelled in a race with the grant: ${given}, granted before: ${granted}`);
  await nothingLeft(server);
});
