// What only the systems with signals have.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Actor, at, equal, soon } from './kit.mjs';

/** A process with a `SingleInstance` whose onShutdown leaves `begun` in a file, and ends if `ends`. */
async function instance(ends) {
  const options = at();
  const other = await Actor.start();
  const file = join(options.directory, 'shutdown');
  await other.ask('singleInstance', 'bot', options, file, ends);
  const begun = () => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return undefined;
    }
  };
  return { other, begun };
}

export const posixCases = {
  'an instance does its onShutdown on a signal, and ends by it': async () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
      const { other, begun } = await instance(true);
      process.kill(other.pid, signal);
      equal([await other.ended, begun()], [signal, signal]);
    }
  },
  'a second signal ends it at once': async () => {
    const { other, begun } = await instance(false);
    process.kill(other.pid, 'SIGTERM');
    await soon(() => begun() === 'SIGTERM');
    process.kill(other.pid, 'SIGINT');
    equal(await other.ended, 'SIGINT');
  },
};
