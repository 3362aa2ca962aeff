// The holder's session ends, and its process number is given to the next holder's, while a killer stands
// between two questions. A PID namespace of the server's own lets the test say which number comes next.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { expect, onTestFinished, type TestContext, test } from 'vitest';
import { inspect, killRunning, type Lock, lock } from '../../dist/postgres.js';
import { requireProgram, requireRoot } from '../support/requires.js';
import { freshName } from '../support/scratch.js';
import { Actor } from './support/actor.js';
import { Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

const NAMESPACE = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--pid', '--fork', '--kill-child'];

/** A server whose postmaster is process 1. */
async function serverOfItsOwn(context: TestContext) {
  requireRoot(context);
  requireProgram(context, 'unshare');
  requireProgram(context, 'nsenter');
  const server = await Server.start({ autovacuum: 'off' }, NAMESPACE);
  const postmaster = childrenOf(server.pid)[0] as number;
  onTestFinished(async () => {
    process.kill(postmaster, 'SIGINT');
    await server.ended;
  });
  return {
    server,
    /** Whether the server has such a process. */
    has: (pid: number) => childrenOf(postmaster).some((child) => insideOf(child) === pid),
    /** The next process that the server starts has this number. */
    next: (pid: number) => {
      const write = `echo ${pid - 1} > /proc/sys/kernel/ns_last_pid`;
      execFileSync('nsenter', ['--target', String(postmaster), '--pid', 'sh', '-c', write]);
    },
  };
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.trim().split(' ').filter(Boolean).map(Number);
}

/** The number that the process has in its own namespace. */
function insideOf(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(status.match(/^NSpid:.*\s(\d+)$/m)?.[1]);
  } catch {
    return undefined; // has ended meanwhile
  }
}

test.for([
  ['and the order to end it', /pg_terminate_backend/],
  ['and the look whether it has gone', /FROM pg_locks l LEFT JOIN/],
] as const)(
  'the number is reused between the look at the holder %s: the next holder is not hit, nor taken for the first',
  async ([, statement], context) => {
    const { server, has, next } = await serverOfItsOwn(context);
    const at = { connectionString: server.url() };
    const name = freshName();
    const actor = await Actor.start(server.url());
    await actor.ask('lock', name);
    const [first] = (await inspect(name, at)).holders;
    const pid = first?.backendPid as number;
    let looked = false;
    let successor: Lock | undefined;
    const succeed = async () => {
      await actor.ask('release');
      await expect.poll(() => has(pid)).toBe(false);
      next(pid);
      successor = await lock(name, at);
    };
    const client = () => {
      const made = new pg.Client({ ...at, application_name: 'kernel-lock' });
      const query = made.query.bind(made) as (config: { text: string }) => Promise<unknown>;
      return Object.assign(made, {
        query: async (config: { text: string }) => {
          if (looked && successor === undefined && statement.test(config.text)) await succeed();
          looked ||= /FROM pg_locks l LEFT JOIN/.test(config.text);
          return await query(config);
        },
      });
    };
    expect(await killRunning(name, { client, timeout: 500 })).toBe(true);
    const { holders } = await inspect(name, at);
    expect(holders).toMatchObject([{ backendPid: pid, token: successor?.token }]);
    expect(successor?.held).toBe(true);
    await successor?.release();
    await nothingLeft(server);
  },
);
