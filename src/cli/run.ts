import { constants } from 'node:os';
import { announceProgram, lock } from '../acquire.js';
import { LockHeldError } from '../errors.js';
import { Lock } from '../lock.js';
import { native } from '../native.js';
import { initialVariable, rawArguments } from '../system.js';
import type { Call } from './args.js';
import { notRun, refused } from './ends.js';
import { warnIfPrivate } from './output.js';
import { showWaiting } from './progress.js';
import { runBeside } from './run-beside.js';
import { serverOf, withoutPassword } from './server.js';

/**
 * Runs a program under the lock by becoming it: the program keeps the pid and inherits the lock,
 * nothing stays between it and who started it. Returns only where that did not come about.
 */
export async function run(call: Call): Promise<number> {
  const server = serverOf(call);
  if (server !== undefined) return runBeside(call, server);
  const { name, location, shared, wait, program } = call;
  const executable = program[0] as string;
  announceProgram({ executable, argv: program.map(withoutPassword) });
  const hide = wait === false ? () => {} : showWaiting(call);
  let held: Lock;
  try {
    held = await lock(name, { ...location, shared, wait });
  } catch (error) {
    hide();
    if (!(error instanceof LockHeldError)) throw error;
    return refused(call, error, location);
  }
  hide();
  warnIfPrivate(call);

  if (native().runInJob !== undefined) return runInJob(held, program);
  restoreChannel();
  const error = Lock.become(held, rawArguments(program.length) ?? program.map(bytes));
  held.release();
  return notRun(executable, error.errno === -constants.errno.ENOENT, error.code);
}

// Windows has no exec: a job ties the program to this process, which waits for it and blocks
// meanwhile, so that nothing else can happen here.
function runInJob(held: Lock, program: string[]): number {
  const result = native().runInJob?.(program);
  held.release();
  if (typeof result === 'number') return result | 0;
  const ERROR_FILE_NOT_FOUND = 2;
  const notFound = result?.errno === ERROR_FILE_NOT_FOUND;
  return notRun(program[0] as string, notFound, `error ${result?.errno}`);
}

// A Node parent's channel; Node takes these from its environment when it starts.
function restoreChannel(): void {
  for (const name of ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE']) {
    const value = initialVariable(name);
    if (value !== undefined) process.env[name] = value;
  }
}

const bytes = (text: string) => Buffer.from(text).toString('latin1');
