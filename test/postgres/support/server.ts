// A PostgreSQL of the tests' own: Debian's, as an unprivileged user, on a free port of the loopback
// interface and a socket, without fsync.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { AS_NOBODY, NOBODY } from '../../support/requires.js';
import { freshDirectory } from '../../support/scratch.js';

const run = promisify(execFile);

export const BINARIES = readdirSync('/usr/lib/postgresql')
  .map((version) => join('/usr/lib/postgresql', version, 'bin'))
  .filter((directory) => existsSync(join(directory, 'initdb')))
  .at(-1) as string;

/** A command, as the user that the servers run as; it ends with this process in any case. */
export function asServer(command: string, args: string[]): [string, string[]] {
  const [setpriv = '', ...nobody] = process.getuid?.() === 0 ? AS_NOBODY : ['setpriv'];
  return [setpriv, [...nobody, '--pdeathsig', 'KILL', command, ...args]];
}

export function serverDirectory(label: string): string {
  const directory = freshDirectory(label);
  if (process.getuid?.() === 0) chownSync(directory, NOBODY, NOBODY);
  return directory;
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export class Server {
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  private constructor(
    /** The data directory. */
    readonly data: string,
    readonly port: number,
    readonly prefix: string[],
  ) {}

  /** A new cluster, started; `settings` as in postgresql.conf, `prefix` a command that runs it elsewhere. */
  static async start(
    settings: Record<string, string | number> = {},
    prefix: string[] = [],
  ): Promise<Server> {
    const data = serverDirectory('pg');
    const options = ['--no-sync', '--no-instructions', '--auth=trust', '--username=postgres'];
    await run(...asServer(join(BINARIES, 'initdb'), ['-D', data, ...options]));
    return await Server.over(data, settings, prefix);
  }

  /** A cluster that is there already: a standby's. */
  static async over(
    data: string,
    settings: Record<string, string | number> = {},
    prefix: string[] = [],
  ): Promise<Server> {
    const server = new Server(data, await freePort(), prefix);
    const all = {
      listen_addresses: '127.0.0.1',
      port: server.port,
      unix_socket_directories: data,
      fsync: 'off',
      shared_buffers: '16MB',
      max_connections: 50,
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name} = '${value}'\n`);
    appendFileSync(join(data, 'postgresql.conf'), lines.join(''));
    await server.boot();
    return server;
  }

  url(user = 'postgres', database = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}`;
  }

  /** The postmaster, which is the child of a test. */
  get pid(): number {
    return this.#process?.pid as number;
  }

  /** When the child of the test has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  async boot(): Promise<void> {
    const [command, args] = asServer(join(BINARIES, 'postgres'), ['-D', this.data]);
    const [first = '', ...rest] = [...this.prefix, command, ...args];
    const child = spawn(first, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      log += text;
    });
    this.#process = child;
    this.#ended = new Promise((resolve) => child.on('exit', () => resolve()));
    const deadline = Date.now() + 20_000;
    for (;;) {
      try {
        await this.sql('SELECT 1');
        return;
      } catch (cause) {
        if (child.exitCode !== null || Date.now() > deadline) throw new Error(log, { cause });
        await sleep(50);
      }
    }
  }

  /**
   * `SIGINT`: fast shutdown; `SIGQUIT`: at once; `SIGKILL`: the postmaster only, as a crash. Its children then
   * end by themselves; a server that starts before the last of them has finds its shared memory in use.
   */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    if (this.#process?.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill(signal);
    await this.#ended;
    if (signal !== 'SIGKILL') return;
    const data = realpathSync(this.data);
    while (processesIn(data).length > 0) await sleep(5);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.boot();
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** A session of the test's own; the caller ends it. */
  async client(user?: string): Promise<pg.Client> {
    const client = new pg.Client(this.url(user));
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = await this.client();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** The processes of the server's sessions that this package has opened. */
  async sessions(): Promise<number[]> {
    const rows = await this.sql(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'kernel-lock' ORDER BY pid",
    );
    return rows.map(({ pid }) => pid as number);
  }

  /** How many hold, and wait for, advisory locks. */
  async locks(): Promise<{ held: number; waiting: number }> {
    const [row] = await this.sql(
      `SELECT count(*) FILTER (WHERE granted)::integer AS held,
       count(*) FILTER (WHERE NOT granted)::integer AS waiting
       FROM pg_locks WHERE locktype = 'advisory'`,
    );
    return row as { held: number; waiting: number };
  }

  /** Every process of the server, the postmaster first. */
  processes(): number[] {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8');
    return [this.pid, ...children.trim().split(' ').filter(Boolean).map(Number)];
  }

  /** Stops (and later continues) all of it, as a machine that hangs. */
  freeze(): () => void {
    const frozen = this.processes().filter((pid) => signalled(pid, 'SIGSTOP'));
    return () => {
      for (const pid of frozen.reverse()) signalled(pid, 'SIGCONT');
    };
  }
}

/** Whether it was there: a session's process ends when its client leaves. */
function signalled(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

/** The processes whose working directory it is, as that of a server's is its data; the dead have none. */
function processesIn(directory: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === directory;
    } catch {
      return false; // it has ended, or is another user's
    }
  });
}
