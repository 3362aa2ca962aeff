// What bad input, bad servers and what stands between get: a LockError with its cause, soon, and no
// session that is left.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { LockError } from '../../dist/index.js';
import { inspect, list, lock, migration, tryLock } from '../../dist/postgres.js';
import { requireProgram } from '../support/requires.js';
import { freshName } from '../support/scratch.js';
import { pooler } from './support/pooler.js';
import { freePort, Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

const SECRET = 'open-sesame';
let server: Server;

beforeAll(async () => {
  server = await Server.start({ max_connections: 20, superuser_reserved_connections: 2 });
  await server.sql(`CREATE ROLE guarded LOGIN PASSWORD '${SECRET}'`);
  await server.sql('CREATE ROLE poor LOGIN');
  await server.sql('CREATE ROLE other LOGIN');
  // Of the roles, one needs a password.
  const rules = [
    'host all guarded all scram-sha-256',
    'host all all all trust',
    'local all all trust',
  ];
  writeFileSync(join(server.data, 'pg_hba.conf'), `${rules.join('\n')}\n`);
  await server.sql('SELECT pg_reload_conf()');
});
afterAll(() => server.stop());

async function failure(options: object, name = freshName()): Promise<LockError> {
  const error = await lock(name, options).then(
    () => new Error('acquired'),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(LockError);
  expect(String(error.stack) + JSON.stringify(error) + String(error.cause)).not.toContain(SECRET);
  return error;
}

const with_ = (url: string) => ({ connectionString: url });

describe('a session is not to be had', () => {
  test('with a wrong password', async () => {
    const url = `postgres://guarded:${SECRET}x@127.0.0.1:${server.port}/postgres`;
    const error = await failure(with_(url));
    expect(error).toMatchObject({ code: 'LOCK_CONNECTION', cause: { code: '28P01' } });
    expect(error.message).toContain('guarded');
    await (await lock(freshName(), with_(server.url()))).release();
    await nothingLeft(server);
  });

  test('where no server is', async () => {
    const port = await freePort();
    const error = await failure(with_(`postgres://u:${SECRET}@127.0.0.1:${port}/db`));
    expect(error).toMatchObject({
      code: 'LOCK_CONNECTION',
      path: `postgresql://127.0.0.1:${port}/db`,
      syscall: 'connect',
      cause: { code: 'ECONNREFUSED' },
    });
  });

  test('where several addresses fail', async () => {
    const error = await failure(with_(`postgres://u@localhost:${await freePort()}/db`));
    expect(error.code).toBe('LOCK_CONNECTION');
    expect(error.message).toContain('ECONNREFUSED');
  });

  test('where somebody listens who never answers', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket.resume()));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void silent.close());
    const { port } = silent.address() as { port: number };
    const error = await failure(with_(`postgres://u@127.0.0.1:${port}/db`));
    expect(error).toMatchObject({ code: 'LOCK_CONNECTION' });
    expect(error.message).toContain('no answer within 10 seconds');
    const controller = new AbortController();
    const attempt = lock(freshName(), {
      ...with_(`postgres://u@127.0.0.1:${port}/db`),
      signal: controller.signal,
    });
    controller.abort(new Error('enough'));
    await expect(attempt).rejects.toThrow('enough');
    await expect
      .poll(() => [...sockets].every(({ readyState }) => readyState !== 'open'))
      .toBe(true);
    for (const socket of sockets) socket.destroy();
  });

  test('where another program answers', async () => {
    const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void web.close());
    const { port } = web.address() as { port: number };
    expect(await failure(with_(`postgres://u@127.0.0.1:${port}/db`))).toMatchObject({
      code: 'LOCK_CONNECTION',
    });
  });

  test('where the database is not there', async () => {
    const error = await failure(with_(server.url('postgres', 'nowhere')));
    expect(error).toMatchObject({ code: 'LOCK_CONNECTION', cause: { code: '3D000' } });
  });

  test('where no client can be made', async () => {
    const url = `${server.url()}?sslrootcert=/nowhere.crt`;
    expect(await failure(with_(url))).toMatchObject({ code: 'LOCK_CONNECTION', syscall: 'open' });
    const thrown = new Error('no certificate');
    const client = () => {
      throw thrown;
    };
    expect(await failure({ client })).toMatchObject({ code: 'LOCK_CONNECTION', cause: thrown });
  });

  test('where the server is full', async () => {
    await nothingLeft(server); // a session says goodbye a moment after its release
    const clients: pg.Client[] = [];
    onTestFinished(async () => {
      for (const client of clients) await client.end();
    });
    for (let i = 0; i < 18; i++) clients.push(await server.client('other'));
    const error = await failure(with_(server.url('other')));
    expect(error).toMatchObject({ code: 'LOCK_CONNECTION', cause: { code: '53300' } });
  });
});

describe('a URL that is none', () => {
  test.each([
    'nonsense',
    `u:${SECRET}@host/db`,
    `http://u:${SECRET}@host/db`,
    `postgres://u:${SECRET}@host:port/db`,
    `postgres://u:${SECRET}@ho st/db`,
    `postgres://u:/${SECRET}@host:5432/db`,
    `postgres://u:1?${SECRET}@host:5432/db`,
    `postgres://u:1#${SECRET}@host:5432/db`,
    '',
  ])('is refused: %s', async (url) => {
    const error = await failure(with_(url));
    expect(error.code).toBe('LOCK_INVALID_OPTION');
  });

  test('is not shown where it stands in a wrong place', async () => {
    const url = `postgres://u:${SECRET}@host/db`;
    expect((await failure({ conectionString: url })).message).toContain('connectionString');
    expect((await failure({ wait: url })).code).toBe('LOCK_INVALID_OPTION');
  });
});

test.each([
  [{ client: 1 }],
  [{ heartbeat: 1 }],
  [{ heartbeat: 3_600_001 }],
  [{ directory: '/tmp' }],
  [{ scope: 'user' }],
  [{ connectionString: 'postgres://h/d', client: () => new pg.Client() }],
  [{ client: () => ({}) }],
])('options are checked: %j', async (options) => {
  expect((await failure(options)).code).toBe('LOCK_INVALID_OPTION');
  expect((await failure({}, 'no/name')).code).toBe('LOCK_INVALID_NAME');
});

test("a client that was connected before stays its owner's", async () => {
  const connected = await server.client();
  const connecting = new pg.Client(server.url());
  const connection = connecting.connect();
  for (const mine of [connected, connecting]) {
    const error = await failure({ client: () => mine });
    expect(error.code).toBe('LOCK_INVALID_OPTION');
    expect(error.message).toContain('connected before');
  }
  await connection;
  for (const mine of [connected, connecting]) {
    expect((await mine.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await mine.end();
    expect((await failure({ client: () => mine })).code).toBe('LOCK_INVALID_OPTION');
  }
});

test('a client whose socket somebody else connects is a new one', async () => {
  const stream = () => {
    const socket = createConnection(server.port, '127.0.0.1');
    socket.connect = () => socket; // as the connector of Cloud SQL does
    return socket;
  };
  const client = () => new pg.Client({ connectionString: server.url(), stream });
  await (await lock(freshName(), { client })).release();
});

describe('the tables', () => {
  test('may not be made: the migration is named', async () => {
    await server.sql('DROP TABLE IF EXISTS public.kernel_lock, public.kernel_lock_grant');
    await server.sql('REVOKE CREATE ON SCHEMA public FROM PUBLIC');
    const error = await failure(with_(server.url('poor')));
    expect(error).toMatchObject({ code: 'LOCK_PERMISSION', cause: { code: '42501' } });
    expect(error.message).toContain('kernel-lock migration');
    expect(await inspect(freshName(), with_(server.url('poor')))).toMatchObject({ held: false });
    expect(await list(with_(server.url('poor')))).toEqual([]);
    // As an administrator would.
    await server.sql(
      `${migration}; GRANT SELECT, INSERT, UPDATE ON kernel_lock, kernel_lock_grant TO poor`,
    );
    const held = await lock(freshName(), with_(server.url('poor')));
    expect(held.token).toBeGreaterThan(0n);
    await held.release();
    await nothingLeft(server);
  });

  test('may not be written: default_transaction_read_only is named', async () => {
    await server.sql('CREATE ROLE reader LOGIN SUPERUSER');
    await server.sql('ALTER ROLE reader SET default_transaction_read_only = on');
    const error = await failure(with_(server.url('reader')));
    expect(error).toMatchObject({ code: 'LOCK_UNSUPPORTED', cause: { code: '25006' } });
    expect(error.message).toContain('default_transaction_read_only');
    expect(error.message).toContain('primary');
    await nothingLeft(server);
  });

  test('may not be used', async () => {
    await server.sql(migration);
    expect(await failure(with_(server.url('other')))).toMatchObject({ code: 'LOCK_PERMISSION' });
    await nothingLeft(server);
  });

  test('are made by many at once', async () => {
    for (let round = 0; round < 10; round++) {
      await server.sql('DROP TABLE IF EXISTS public.kernel_lock, public.kernel_lock_grant');
      const locks = await Promise.all(
        Array.from({ length: 16 }, () => lock(freshName(), with_(server.url()))),
      );
      expect(locks.filter(({ held }) => held)).toHaveLength(16);
      await Promise.all(locks.map((one) => one.release()));
    }
    await nothingLeft(server);
  });

  test('tell that two names have one hash', async () => {
    const [name, other] = [freshName(), freshName()];
    const key = createHash('sha256').update(name).digest().readBigInt64BE(0);
    await server.sql(migration);
    await server.sql('INSERT INTO kernel_lock (name, key, reserved) VALUES ($1, $2, 1000)', [
      other,
      String(key),
    ]);
    // Free, and held.
    expect(await failure(with_(server.url()), name)).toMatchObject({ code: 'LOCK_INVALID_NAME' });
    await nothingLeft(server);
    const psql = await server.client();
    await psql.query('SELECT pg_advisory_lock($1)', [String(key)]);
    const error = await tryLock(name, with_(server.url())).catch((reason) => reason);
    expect(error.message).toContain(other);
    await psql.end();
    await nothingLeft(server);
  });
});

describe('in between', () => {
  test.for(['transaction', 'session'])(
    'a pooler is refused: pool_mode %s',
    async (mode, context) => {
      requireProgram(context, 'pgbouncer');
      const url = await pooler(server, mode);
      const error = await failure(with_(url));
      expect(error).toMatchObject({ code: 'LOCK_UNSUPPORTED' });
      expect(error.message).toContain('pgbouncer');
      expect(await server.locks()).toEqual({ held: 0, waiting: 0 });
    },
  );

  test('a pooler that hides itself is found out by a heartbeat', async (context) => {
    requireProgram(context, 'pgbouncer');
    const url = await pooler(server, 'transaction');
    // One that shows its clients the server's process numbers, as far as a client can tell.
    const client = () =>
      Object.defineProperty(new pg.Client(url), 'processID', { get: () => null, set: () => {} });
    const held = await lock(freshName(), { client, heartbeat: 500 });
    expect(held.held).toBe(true);
    const another = new pg.Client(url);
    await another.connect();
    await another.query('BEGIN'); // has the process of the server from now on that locked
    await expect.poll(() => held.held).toBe(false);
    expect(held.signal.reason).toMatchObject({ code: 'LOCK_LOST' });
    await another.end();
    await held.release();
  });
});
