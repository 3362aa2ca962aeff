// What only the systems with signals have.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Actor, at, equal, soon } from './kit.mjs';

/**
 * A process with a `SingleInstance` whose onShutdown leaves `begun` in a file, and `ends`, `lasts` a
 * moment, `waits` for ever or `blocks` the thread for twenty seconds.
 */
async function instance(how) {
  const options = at();
  const other = await Actor.start();
  const file = join(options.directory, 'shutdown');
  await other.ask('singleInstance', 'bot', options, file, how);
  const begun = () => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return undefined;
    }
  };
  return { other, begun };
}

/** Lets the other threads of the process run only while its first one has nothing to do. */
function holdThreadsBack(pid) {
  const [, processor] = /Cpus_allowed_list:\s*(\d+)/.exec(
    readFileSync('/proc/self/status', 'utf8'),
  );
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      // Of util-linux.
      execFileSync('taskset', ['--cpu-list', '--pid', processor, thread]);
      if (thread !== String(pid)) execFileSync('chrt', ['--idle', '--pid', '0', thread]);
    } catch (error) {
      if (existsSync(`/proc/${pid}/task/${thread}`)) throw error; // else it has ended
    }
  }
}

/** `prepare`: what is done to the process before the signal. */
async function endsBySignals(prepare) {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
    const { other, begun } = await instance('ends');
    prepare?.(other.pid);
    process.kill(other.pid, signal);
    equal([await other.ended, begun()], [signal, signal]);
  }
}

// It has signals told, and the process ended by them, in other threads.
const denoCases = {
  'an instance ends by a signal, however late its other threads run': () =>
    endsBySignals(holdThreadsBack),
};

export const posixCases = {
  ...(globalThis.Deno ? denoCases : {}),
  'an instance does its onShutdown on a signal, and ends by it': () => endsBySignals(),
  'a second signal ends it at once, also where onShutdown blocks it': async () => {
    for (const hangs of ['waits', 'blocks']) {
      const { other, begun } = await instance(hangs);
      process.kill(other.pid, 'SIGTERM');
      await soon(() => begun() === 'SIGTERM');
      process.kill(other.pid, 'SIGINT');
      equal(await other.ended, 'SIGINT', hangs);
    }
  },
  'SIGHUP beside another signal does not cut onShutdown short': async () => {
    const { other, begun } = await instance('lasts');
    for (const signal of ['SIGSTOP', 'SIGTERM', 'SIGHUP', 'SIGCONT']) {
      process.kill(other.pid, signal);
    }
    equal([await other.ended, begun()], ['SIGTERM', 'done']);
  },
};
