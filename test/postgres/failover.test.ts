// A standby that becomes the primary: what it never heard of, and what its tokens are.

import { execFile } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { type Lock, lock } from '../../dist/postgres.js';
import { CLI, start } from '../support/run.js';
import { freshName } from '../support/scratch.js';
import { asServer, BINARIES, Server, serverDirectory } from './support/server.js';

const run = promisify(execFile);
const at = (server: Server) => ({ connectionString: server.url() });

async function primaryServer(): Promise<Server> {
  const primary = await Server.start({ wal_level: 'replica', max_wal_senders: 4 });
  onTestFinished(() => primary.stop('SIGQUIT'));
  appendFileSync(join(primary.data, 'pg_hba.conf'), 'host replication all 127.0.0.1/32 trust\n');
  await primary.sql('SELECT pg_reload_conf()');
  return primary;
}

async function standbyOf(primary: Server): Promise<Server> {
  const data = serverDirectory('standby');
  const how = ['-R', '-X', 'stream', '-c', 'fast', '-d', primary.url()];
  await run(...asServer(join(BINARIES, 'pg_basebackup'), ['-D', data, ...how]));
  await run('chmod', ['0700', data]);
  const standby = await Server.over(data);
  onTestFinished(() => standby.stop('SIGQUIT'));
  return standby;
}

/** What is granted elsewhere from now on, it never hears of. */
async function cutOff(primary: Server, standbys: Server[]): Promise<void> {
  for (const standby of standbys) {
    await standby.sql("ALTER SYSTEM SET primary_conninfo = ''");
    await standby.sql('SELECT pg_reload_conf()');
  }
  await expect
    .poll(() => primary.sql('SELECT count(*)::integer AS n FROM pg_stat_replication'))
    .toEqual([{ n: 0 }]);
}

async function cycles(server: Server, name: string, count: number): Promise<Lock> {
  for (let i = 1; i < count; i++) await (await lock(name, at(server))).release();
  return await lock(name, at(server));
}

test('a promoted standby: two holders for a moment, told apart by the token', async () => {
  const name = freshName();
  const primary = await primaryServer();
  await (await lock(name, at(primary))).release();
  const standby = await standbyOf(primary);
  await expect(lock(name, at(standby))).rejects.toMatchObject({ code: 'LOCK_UNSUPPORTED' });
  await cutOff(primary, [standby]);
  const old = await cycles(primary, name, 6);
  await standby.sql('SELECT pg_promote()');
  const next = await lock(name, at(standby));
  expect([old.held, next.held]).toEqual([true, true]); // not promised, and so it is
  // Promised; and far enough ahead for a clock that is behind.
  expect(next.token).toBeGreaterThan(old.token + (1n << 29n));
  const lost = new Promise((resolve) => old.signal.addEventListener('abort', resolve));
  await primary.stop('SIGQUIT');
  await lost;
  await next.release();
});

test('a second standby, of the same timeline as the first: its tokens are greater as well', async () => {
  const name = freshName();
  const primary = await primaryServer();
  await (await lock(name, at(primary))).release();
  const standbys = [await standbyOf(primary), await standbyOf(primary)] as const;
  await cutOff(primary, [...standbys]);
  await primary.stop('SIGQUIT');
  await standbys[0].sql('SELECT pg_promote()');
  const first = await cycles(standbys[0], name, 7);
  await standbys[0].stop('SIGQUIT');
  await standbys[1].sql('SELECT pg_promote()');
  const second = await lock(name, at(standbys[1]));
  expect(second.token).toBeGreaterThan(first.token);
  await first.release();
  await second.release();
});

test('a table that was emptied, as by an old dump: the tokens grow all the same', async () => {
  const name = freshName();
  const server = await Server.start();
  onTestFinished(() => server.stop());
  const before = await cycles(server, name, 5);
  await before.release();
  await server.sql('TRUNCATE kernel_lock, kernel_lock_grant');
  const after = await lock(name, at(server));
  expect(after.token).toBeGreaterThan(before.token);
  await after.release();
});

test('run --wait waits on while its server is a standby', async () => {
  const name = freshName();
  const server = await Server.start();
  onTestFinished(() => server.stop('SIGQUIT'));
  const held = await lock(name, at(server));
  const args = [CLI, 'run', name, '--postgres', server.url(), '--wait', '--', 'echo', 'on'];
  const running = start(process.execPath, args);
  let told = '';
  running.child.stderr?.on('data', (text) => {
    told += text;
  });
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  await server.stop('SIGQUIT');
  writeFileSync(join(server.data, 'standby.signal'), '');
  await server.boot();
  const fruitless = () =>
    server.sql(
      "SELECT sum(sessions)::integer AS n FROM pg_stat_database WHERE datname = 'postgres'",
    );
  const [{ n } = {}] = await fruitless();
  await expect.poll(async () => Number((await fruitless())[0]?.n) - Number(n)).toBeGreaterThan(8);
  expect(running.child.exitCode).toBeNull();
  await server.sql('SELECT pg_promote()');
  expect(await running.finished).toMatchObject({ status: 0, stdout: 'on\n' });
  expect(told.match(/waiting on/g)).toHaveLength(1);
  await held.release();
});
