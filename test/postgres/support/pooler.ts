// pgbouncer in front of a server.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { asServer, freePort, type Server, serverDirectory } from './server.js';

/** Starts it; the URL that leads through it. */
export async function pooler(server: Server, mode: string): Promise<string> {
  const directory = serverDirectory('pgbouncer');
  const port = await freePort();
  const file = join(directory, 'pgbouncer.ini');
  writeFileSync(
    file,
    `[databases]
    postgres = host=127.0.0.1 port=${server.port} user=postgres
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = ${port}
    unix_socket_dir = ${directory}
    auth_type = any
    pool_mode = ${mode}
    `,
  );
  const [command, args] = asServer('pgbouncer', ['-q', file]);
  const pgbouncer = spawn(command, args, { stdio: 'ignore' });
  const ended = new Promise((resolve) => pgbouncer.on('exit', resolve));
  onTestFinished(async () => {
    pgbouncer.kill('SIGKILL');
    await ended;
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await expect
    .poll(async () => {
      const client = new pg.Client(url);
      client.on('error', () => {});
      await client.connect();
      await client.end();
    })
    .toBeUndefined();
  return url;
}
