// What happens in the moments between: a client that does one thing more when a statement goes by.
import { execFileSync } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { connect, type Lock, lock, tryLock, withLock } from '../../dist/postgres.js';
import { freshName } from '../support/scratch.js';
import { BINARIES, Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

let server: Server;
let at: { connectionString: string };

beforeAll(async () => {
  server = await Server.start();
  at = { connectionString: server.url() };
});
afterAll(() => server.stop());

/** Makes clients that call `meanwhile` before a statement that matches is sent; it is sent after that. */
const clients = (statement: RegExp, meanwhile: () => unknown) => () => {
  const client = new pg.Client({ ...at, application_name: 'kernel-lock' });
  const query = client.query.bind(client) as (config: { text: string }) => Promise<unknown>;
  return Object.assign(client, {
    query: (config: { text: string }) => {
      const done = statement.test(config.text) ? meanwhile() : undefined;
      return done instanceof Promise ? done.then(() => query(config)) : query(config);
    },
  });
};

/** Makes clients that send `text` instead of a statement that matches. */
const clientsThatAsk = (text: string, statement: RegExp) => () => {
  const client = new pg.Client({ ...at, application_name: 'kernel-lock' });
  const query = client.query.bind(client) as (config: { text: string }) => Promise<unknown>;
  return Object.assign(client, {
    query: (config: { text: string }) =>
      query(statement.test(config.text) ? { ...config, text } : config),
  });
};

/** Who holds a lock is asked with this. */
const WHO_HOLDS = /FROM pg_locks l LEFT JOIN/;

const enough = new Error('enough');

/** What is told from now on, by its channel. */
function events(): string[] {
  const told: string[] = [];
  for (const event of ['acquired', 'refused', 'released', 'lost']) {
    const hear = () => told.push(event);
    diagnostics.subscribe(`kernel-lock:${event}`, hear);
    onTestFinished(() => void diagnostics.unsubscribe(`kernel-lock:${event}`, hear));
  }
  return told;
}

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

describe('the holder releases after a refusal, before it is asked who holds the lock', () => {
  test.each<[string, (name: string, client: () => pg.Client) => Promise<Lock | null>]>([
    ['lock', (name, client) => lock(name, { client })],
    ['tryLock', (name, client) => tryLock(name, { client })],
    ['lock of a connection', async (name, client) => await (await shared(client)).lock(name)],
    ['tryLock of a connection', async (name, client) => await (await shared(client)).tryLock(name)],
  ])('%s acquires', async (_, acquire) => {
    const told = events();
    const holder = await lock(freshName(), at);
    const mine = await acquire(
      holder.name,
      clients(WHO_HOLDS, () => holder.release()),
    );
    expect(mine?.held).toBe(true);
    await mine?.release();
    expect(told).toEqual(['acquired', 'released', 'acquired', 'released']);
  });

  test('a reader acquires beside another reader', async () => {
    const name = freshName();
    const writer = await lock(name, at);
    let first: Promise<Lock> | undefined;
    const connection = await shared(
      clients(WHO_HOLDS, async () => {
        await writer.release();
        first ??= connection.lock(name, { shared: true });
        first.catch(() => {}); // told below
      }),
    );
    const second = await connection.lock(name, { shared: true });
    const readers = [await first, second];
    expect(readers.map((reader) => reader?.held)).toEqual([true, true]);
    for (const reader of readers) await reader?.release();
  });

  test('a wait whose time ran out was refused all the same', async () => {
    const told = events();
    const holder = await lock(freshName(), at);
    const client = clients(WHO_HOLDS, () => holder.release());
    await expect(lock(holder.name, { client, wait: 20 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
      holder: undefined,
      unknown: [],
    });
    expect(told).toEqual(['acquired', 'released', 'refused']);
    await nothingLeft(server);
  });

  /** A connection that ends with the test. */
  async function shared(client: () => pg.Client) {
    const connection = await connect({ client });
    onTestFinished(async () => {
      await connection.close();
      await nothingLeft(server);
    });
    return connection;
  }
});

test('a connection that releases a lock acquires it at once', async () => {
  await using connection = await connect(at);
  const held = await connection.lock(freshName());
  const released = held.release();
  const next = await connection.lock(held.name);
  expect(next.token).toBe(held.token + 1n);
  await released;
  await next.release();
  await connection.close();
  await nothingLeft(server);
});

test.each([
  ['can not say', 'SELECT $1::bigint / 0', ['division by zero']],
  ['never names anybody', 'SELECT $1::bigint WHERE false', []],
])('a refusal stands where the server %s who holds the lock', async (_, text, unknown) => {
  const holder = await lock(freshName(), at);
  const client = clientsThatAsk(text, WHO_HOLDS);
  await expect(lock(holder.name, { client })).rejects.toMatchObject({
    code: 'LOCK_HELD',
    message: expect.stringContaining('could not be identified'),
    unknown,
  });
  await holder.release();
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
  const connection = await connect({
    client: clientsThatAsk('SELECT $1::bigint / 0', /pg_advisory_unlock/),
  });
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

test('a reader whom the server ends because two make the row of a new name is let in', async () => {
  const client = new pg.Client({ ...at, application_name: 'kernel-lock' });
  const query = client.query.bind(client) as (config: { text: string }) => Promise<unknown>;
  let deadlocks = 0;
  client.query = ((config: { text: string }) => {
    const first = /INSERT INTO public.kernel_lock AS old/.test(config.text) && deadlocks++ === 0;
    return query(first ? { text: 'DO $$ BEGIN RAISE deadlock_detected; END $$' } : config);
  }) as typeof client.query;
  const reader = await lock(freshName(), { client: () => client, shared: true });
  expect(deadlocks).toBe(2);
  await reader.release();
  await nothingLeft(server);
});

test('a grant that came in time is no timeout, however long its token takes', async () => {
  const name = freshName();
  const held = await lock(name, at);
  const other = freshName();
  const hinder = await lock(other, at);
  await server.sql(`UPDATE public.kernel_lock_grant SET reserved = token WHERE name = '${name}'`);
  const client = new pg.Client(at);
  await client.connect();
  await client.query('BEGIN');
  await client.query(`SELECT FROM public.kernel_lock WHERE name = '${name}' FOR UPDATE`);
  const waiting = lock(name, { ...at, wait: 2000 });
  waiting.catch(() => {});
  await expect.poll(() => server.locks()).toEqual({ held: 2, waiting: 1 });
  const later = lock(other, { ...at, wait: 2000 });
  later.catch(() => {});
  await held.release();
  await expect(later).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
  await client.query('COMMIT');
  await client.end();
  const mine = await waiting;
  expect(mine.token).toBeGreaterThan(held.token);
  await mine.release();
  await hinder.release();
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

/** The warnings of Node.js from now on. */
function warnings(): Error[] {
  const all: Error[] = [];
  const warn = (warning: Error) => all.push(warning);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));
  return all;
}

/** Ends every session of this package while this thread is blocked: none of it is heard before. */
function endSessionsUnheard(): void {
  const sql = (text: string) =>
    execFileSync(join(BINARIES, 'psql'), ['-Atqc', text, server.url()], {
      encoding: 'utf8',
    }).trim();
  const ours = `FROM pg_stat_activity WHERE application_name = 'kernel-lock'`;
  sql(`SELECT pg_terminate_backend(pid) ${ours}`);
  while (sql(`SELECT count(*) ${ours}`) !== '0') {}
}

test('withLock does not resolve where the lock was lost and nobody has heard of it yet', async () => {
  const told = events();
  const result = withLock(freshName(), at, () => {
    endSessionsUnheard();
    return 'in doubt';
  });
  await expect(result).rejects.toMatchObject({ code: 'LOCK_LOST' });
  expect(told).toEqual(['acquired', 'lost']);
  await nothingLeft(server);
});

test('a release finds out that the lock was lost', async () => {
  const told = events();
  const held = await lock(freshName(), at);
  const { signal } = held;
  endSessionsUnheard();
  await held.release();
  expect(signal.reason).toMatchObject({ code: 'LOCK_LOST' });
  expect(told).toEqual(['acquired', 'lost']);
  await nothingLeft(server);
});

test('a connection that is closed while a lock is released has not lost it', async () => {
  const told = events();
  const connection = await connect(at);
  const held = await connection.lock(freshName());
  const released = held.release();
  await connection.close();
  await released;
  expect(held.signal.aborted).toBe(false);
  expect(told).toEqual(['acquired', 'released']);
  await nothingLeft(server);
});

test('a connection that was lost says so, also of the names that it held', async () => {
  const warned = warnings();
  const connection = await connect(at);
  const held = await connection.lock(freshName());
  const lost = new Promise((resolve) => held.signal.addEventListener('abort', resolve));
  endSessionsUnheard();
  await lost;
  for (let round = 0; round < 12; round++) {
    for (const name of [held.name, freshName()]) {
      const code = 'LOCK_CONNECTION';
      await expect(connection.tryLock(name)).rejects.toMatchObject({ code });
      await expect(connection.lock(name)).rejects.toMatchObject({ code });
    }
  }
  await held.release();
  await connection.close();
  expect(warned).toEqual([]);
  await nothingLeft(server);
});

// The server's process is stopped when the statement comes, and would have a minute to answer.
test.each([
  ['while it is being prepared', /pg_is_in_recovery/, false],
  ['while the lock is asked for', /pg_try_advisory_lock/, false],
  ['while the holder is asked for', /pg_stat_activity a ON/, true],
])(
  'a signal that aborts %s is heard at once, also where the server hangs',
  async (_, statement, isHeld) => {
    const name = freshName();
    const holder = isHeld ? await lock(name, at) : undefined;
    const controller = new AbortController();
    const stopped: number[] = [];
    onTestFinished(() => {
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
    });
    const client = () => {
      const made = clients(statement, () => {
        const pid = (made as pg.Client & { processID: number }).processID;
        process.kill(pid, 'SIGSTOP');
        stopped.push(pid);
        setImmediate(() => controller.abort(enough));
      })();
      return made;
    };
    const { signal } = controller;
    const options = { client, signal, heartbeat: 60_000 };
    await expect(lock(name, options)).rejects.toBe(enough);
    for (const pid of stopped.splice(0)) process.kill(pid, 'SIGCONT');
    await holder?.release();
    await nothingLeft(server);
  },
);

test('a lock whose session ends with the grant is acquired first, and lost then', async () => {
  const name = freshName();
  await (await lock(name, at)).release(); // tokens are reserved, so that one statement grants
  const told = events();
  let made: pg.Client | undefined;
  const client = () => {
    made = new pg.Client({ ...at, application_name: 'kernel-lock' });
    const query = made.query.bind(made) as (config: { text: string }) => Promise<unknown>;
    return Object.assign(made, {
      query: async (config: { text: string }) => {
        const answer = await query(config);
        if (/pg_try_advisory_lock/.test(config.text)) made?.emit('error', new Error('gone'));
        return answer;
      },
    });
  };
  const held = await lock(name, { client });
  expect(held.held).toBe(false);
  await held.release();
  expect(told).toEqual(['acquired', 'lost']);
  await nothingLeft(server);
});

test('one signal serves any number of locks', async () => {
  const warned = warnings();
  const { signal } = new AbortController();
  const locks = await Promise.all(
    Array.from({ length: 20 }, () => lock(freshName(), { ...at, signal })),
  );
  await Promise.all(locks.map((held) => held.release()));
  expect(warned).toEqual([]);
  await nothingLeft(server);
});

// A server whose commits wait for a standby that is not there does not look whether its client is.
test.each(['lock', 'connection'])(
  'what is called off while the server waits for its standby is not held (%s)',
  async (which) => {
    const own = await Server.start({ synchronous_standby_names: '' });
    onTestFinished(() => own.stop());
    const connectionString = own.url();
    await (await lock(freshName(), { connectionString })).release(); // makes the tables
    await own.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    await own.sql('SELECT pg_reload_conf()');
    const waits = async () => {
      const [row] = await own.sql(
        "SELECT count(*)::integer AS count FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      return row?.count;
    };
    const controller = new AbortController();
    const connection = await connect({ connectionString });
    const { signal } = controller;
    const acquire = () =>
      which === 'lock'
        ? lock(freshName(), { connectionString, signal, heartbeat: 60_000 })
        : connection.lock(freshName());
    let calledOff = false;
    // Commits wait once the server's checkpointer has heard of the setting; what is granted before is let go.
    const attempts = async () => {
      let held = await acquire();
      while (!calledOff) {
        await held.release();
        held = await acquire();
      }
      return 'granted';
    };
    const ended = attempts().catch(() => 'refused');
    await expect.poll(waits).toBe(1);
    calledOff = true;
    if (which === 'lock') controller.abort(enough);
    await connection.close();
    expect(await ended).toBe('refused');
    await nothingLeft(own);
  },
);

test('a wait that the server cancels late has no lock, whose session that would hit', async () => {
  const holder = await lock(freshName(), at);
  const told = events();
  let cancels = (_: unknown) => {};
  onTestFinished(() => {
    diagnostics.unsubscribe('net.client.socket', cancels);
    server.signal('SIGCONT');
  });
  // The postmaster is stopped, and the server's sessions go on: the lock is granted once the cancellation
  // was sent.
  const client = clients(/SELECT pg_advisory_lock/, () => {
    server.signal('SIGSTOP');
    cancels = (message) => {
      const { socket } = message as { socket: Socket };
      socket.once('finish', () => void holder.release());
    };
    diagnostics.subscribe('net.client.socket', cancels);
  });
  const late = lock(holder.name, { client, wait: 20 });
  await expect(late).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
  server.signal('SIGCONT');
  await nothingLeft(server);
  expect(told.sort()).toEqual(['refused', 'released']);
});

test('an abort that a connection hears with an error is told as the abort', async () => {
  const controller = new AbortController();
  const client = () => {
    const made = clients(/pg_try_advisory_lock/, () => {
      controller.abort(enough);
      made.emit('error', new Error('gone'));
    })();
    return made;
  };
  const connection = await connect({ client });
  const { signal } = controller;
  await expect(connection.lock(freshName(), { signal })).rejects.toBe(enough);
  await connection.close();
  await nothingLeft(server);
});
