// A PostgreSQL for the bench: Debian's, as an unprivileged user, with its settings as they come (so
// that a commit waits for the disk), on a Unix socket.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

const VERSIONS = '/usr/lib/postgresql';
const NOBODY = 65534;

/** Calls `measure` with a function that makes clients; where there is no server, says why in `skipped`. */
export async function withPostgres(bench, skipped, measure) {
  const bin = newest();
  if (bin === undefined) {
    skipped.push('not run: PostgreSQL is not installed (Debian: apt-get install postgresql)');
    return;
  }
  const data = bench.scratch.file(`pg-${process.pid}-${Date.now().toString(36)}`);
  mkdirSync(data);
  const isRoot = process.getuid() === 0;
  if (isRoot) {
    chmodSync(bench.scratch.path, 0o711);
    chownSync(data, NOBODY, NOBODY);
  }
  const nobody = isRoot ? ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'].map(String) : [];
  const asServer = [...nobody, '--pdeathsig', 'KILL'];
  const { status, stderr } = spawnSync(
    'setpriv',
    [...asServer, join(bin, 'initdb'), '-D', data, '--auth=trust', '--username=postgres'],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`initdb: ${stderr}`);
  const settings = ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${data}`];
  const server = spawn('setpriv', [...asServer, join(bin, 'postgres'), '-D', data, ...settings], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => server.on('exit', resolve));
  const client = () => new pg.Client({ host: data, user: 'postgres', database: 'postgres' });
  try {
    await isUp(client, server);
    return await measure(client);
  } finally {
    server.kill('SIGINT');
    await ended;
  }
}

function newest() {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS) : [];
  return versions
    .sort((a, b) => a - b)
    .map((version) => join(VERSIONS, version, 'bin'))
    .filter((bin) => existsSync(join(bin, 'initdb')))
    .at(-1);
}

async function isUp(makeClient, server) {
  for (;;) {
    const client = makeClient();
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (server.exitCode !== null) throw error;
      await sleep(50);
    }
  }
}
