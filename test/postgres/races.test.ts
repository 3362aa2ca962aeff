// What happens in the moments between: a client that does one thing more when a statement goes by.
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, lock, tryLock } from '../../dist/postgres.js';
import { freshName } from '../support/scratch.js';
import { Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

let server: Server;
let at: { connectionString: string };

beforeAll(async () => {
  server = await Server.start();
  at = { connectionString: server.url() };
});
afterAll(() => server.stop());

/** Makes clients that call `meanwhile` before a statement that matches is sent. */
const clients = (statement: RegExp, meanwhile: () => void) => () => {
  const client = new pg.Client({ ...at, application_name: 'kernel-lock' });
  const query = client.query.bind(client) as (config: { text: string }) => Promise<unknown>;
  return Object.assign(client, {
    query: (config: { text: string }) => {
      if (statement.test(config.text)) meanwhile();
      return query(config);
    },
  });
};

const enough = new Error('enough');

test.each([
  ['while the session is prepared', /pg_is_in_recovery/],
  ['while the lock is asked for', /pg_try_advisory_lock/],
])('a signal that aborts %s is heard', async (_, statement) => {
  const controller = new AbortController();
  const { signal } = controller;
  const client = clients(statement, () => controller.abort(enough));
  await expect(lock(freshName(), { client, signal })).rejects.toBe(enough);
  await nothingLeft(server);
});

test('a signal that aborts while the client is made is heard', async () => {
  const controller = new AbortController();
  const client = () => {
    controller.abort(enough);
    return new pg.Client(at);
  };
  const { signal } = controller;
  await expect(lock(freshName(), { client, signal })).rejects.toBe(enough);
  await nothingLeft(server);
});

test('a signal that aborts while a connection asks is heard', async () => {
  const controller = new AbortController();
  const client = clients(/pg_try_advisory_lock/, () => controller.abort(enough));
  await using connection = await connect({ client });
  const { signal } = controller;
  await expect(connection.lock(freshName(), { signal })).rejects.toBe(enough);
  expect(await server.locks()).toEqual({ held: 0, waiting: 0 });
  await connection.close();
  await nothingLeft(server);
});

test('a connection that is closed while it asks leaves no lock that thinks it is held', async () => {
  let close = () => {};
  const client = clients(/pg_try_advisory_lock/, () => close());
  const connection = await connect({ client });
  let closed: Promise<void> | undefined;
  close = () => {
    closed = connection.close();
  };
  const held = await connection.lock(freshName()).then(
    (mine) => mine.held,
    ({ code }) => code,
  );
  expect([false, 'LOCK_CONNECTION']).toContain(held);
  await closed;
  await nothingLeft(server);
});

test('a release that the server refuses ends the session', async () => {
  let backend = 0;
  const fail = clients(/pg_advisory_unlock/, () => {});
  const client = () => {
    const made = fail();
    const query = made.query;
    return Object.assign(made, {
      query: (config: { text: string }) =>
        query(/pg_advisory_unlock/.test(config.text) ? { text: 'SELECT 1 / 0' } : config),
    });
  };
  const connection = await connect({ client });
  const [held, other] = [await connection.lock(freshName()), await connection.lock(freshName())];
  [backend = 0] = await server.sessions();
  expect(backend).toBeGreaterThan(0);
  await held.release();
  expect(other.held).toBe(false);
  await expect.poll(() => server.locks()).toEqual({ held: 0, waiting: 0 });
  const next = await tryLock(held.name, at);
  expect(next?.held).toBe(true);
  await next?.release();
  await nothingLeft(server);
});

test('readers of a new name, all at once: each is let in, with a token of its own', async () => {
  const connections = await Promise.all(Array.from({ length: 24 }, () => connect(at)));
  for (let round = 0; round < 60; round++) {
    const name = freshName();
    const readers = await Promise.all(connections.map((one) => one.lock(name, { shared: true })));
    expect(new Set(readers.map(({ token }) => token)).size).toBe(24);
    await Promise.all(readers.map((reader) => reader.release()));
  }
  await Promise.all(connections.map((one) => one.close()));
  await nothingLeft(server);
});

test("a role's own limits end no wait and no lock", async () => {
  await server.sql('CREATE ROLE limited LOGIN SUPERUSER');
  for (const limit of [
    'statement_timeout',
    'lock_timeout',
    'idle_session_timeout',
    'idle_in_transaction_session_timeout',
  ]) {
    await server.sql(`ALTER ROLE limited SET ${limit} = 100`);
  }
  await server.sql("ALTER ROLE limited SET default_transaction_isolation = 'serializable'");
  const name = freshName();
  const held = await lock(name, at);
  const waits = lock(name, { connectionString: server.url('limited'), wait: true });
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  const again = lock(name, { ...at, wait: 500 }).catch(({ code }) => code);
  expect(await again).toBe('LOCK_TIMEOUT'); // five times as long as the limits
  await held.release();
  const mine = await waits;
  const still = lock(name, { ...at, wait: 500 }).catch(({ code }) => code);
  expect(await still).toBe('LOCK_TIMEOUT');
  expect(mine.held).toBe(true);
  await mine.release();
  await nothingLeft(server);
});

test('a session is set up so that the server finds a client that has vanished, and keeps tokens', async () => {
  await server.sql('CREATE ROLE careless LOGIN SUPERUSER');
  await server.sql('ALTER ROLE careless SET synchronous_commit = off');
  const made: pg.Client[] = [];
  const client = () => {
    made.push(new pg.Client(server.url('careless')));
    return made[0] as pg.Client;
  };
  const held = await lock(freshName(), { client, heartbeat: 5000 });
  const setting = async (name: string) =>
    Object.values((await made[0]?.query(`SHOW ${name}`))?.rows[0])[0];
  expect(await setting('tcp_user_timeout')).toBe('20000');
  expect(await setting('tcp_keepalives_idle')).toBe('10');
  expect(await setting('tcp_keepalives_interval')).toBe('2');
  expect(await setting('tcp_keepalives_count')).toBe('5');
  expect(await setting('synchronous_commit')).toBe('on');
  await held.release();
  await nothingLeft(server);
});
