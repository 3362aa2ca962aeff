// `run --postgres`: the program runs beside the session that holds its lock.

import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import {
  LockConnectionError,
  type LockError,
  LockHeldError,
  LockUnsupportedError,
} from '../errors.js';
import { native } from '../native.js';
import { type Lock, lock, type ServerOptions } from '../postgres.js';
import { printable } from '../report.js';
import type { Call } from './args.js';
import { notRun, refused } from './ends.js';
import { EXIT_LOST } from './exit.js';
import { printError } from './output.js';
import { showWaiting } from './progress.js';
import { UNDER } from './under.js';

/** How long a program has to stop once its lock is lost, in milliseconds; then SIGKILL. */
const GRACE = 5000;
/** How long one who waits leaves a server alone that is not there, in milliseconds. */
const RECONNECT = 1000;
/** The class of SQLSTATEs that a server has for a wrong user or password. */
const AUTHORIZATION = '28';
/** Passed on to the program. */
const FORWARDED: NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'];
/** A terminal sends these to the program itself. */
const FROM_TERMINAL: NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

/** The program's own exit status; 128+n for signal n; 76 where the lock was lost. */
export async function runBeside(call: Call, server: ServerOptions): Promise<number> {
  const hide = call.wait === false ? () => {} : showWaiting(call);
  let held: Lock;
  try {
    held = await acquire(call, server);
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    return refused(call, error, { postgres: error.path });
  } finally {
    hide();
  }
  let status: number;
  try {
    status = await runUnder(held, call.program);
  } finally {
    await held.release();
  }
  if (!held.signal.aborted) return status; // the release may have found it out
  // Only now: a terminal that was stopped (Ctrl+S) holds up who writes to it.
  const reason = printable((held.signal.reason as Error).message);
  printError(`kernel-lock: ${reason}; its program has ended`);
  return EXIT_LOST;
}

// Who waits goes on waiting for a server that dies meanwhile, is restarted, or fails over. One that was
// not there in the first place is an error.
async function acquire(call: Call, server: ServerOptions): Promise<Lock> {
  const { name, shared, wait } = call;
  const deadline = performance.now() + (wait === true ? Number.POSITIVE_INFINITY : Number(wait));
  try {
    return await lock(name, { ...server, shared });
  } catch (error) {
    if (wait === false || !(error instanceof LockHeldError)) throw error;
  }
  for (let told = false; ; ) {
    const left = Math.max(0, Math.round(deadline - performance.now()));
    try {
      return await lock(name, { ...server, shared, wait: wait === true || left });
    } catch (error) {
      const isLong = deadline - performance.now() > RECONNECT;
      if (!mayComeBack(error) || !isLong) throw error;
      if (!told) printError(`kernel-lock: ${printable(error.message)}; waiting on`);
      told = true;
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT));
  }
}

// Also a server that is still a standby, but not one that does not let this user in.
function mayComeBack(error: unknown): error is LockError {
  if (error instanceof LockUnsupportedError) return true;
  const { code } = ((error as LockError).cause ?? {}) as { code?: string };
  return error instanceof LockConnectionError && code?.startsWith(AUTHORIZATION) !== true;
}

async function runUnder(held: Lock, [executable = '', ...args]: string[]): Promise<number> {
  const { spawn } = await import('node:child_process'); // milliseconds of an import
  const [command, ...rest] = tied([executable, ...args]);
  const child = spawn(command as string, rest, { stdio: 'inherit' });
  const stopForwarding = forwardSignals(child);
  const ended = new Promise<number>((resolve) => {
    child.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (child.pid === undefined) resolve(notRun(executable, code === 'ENOENT', code));
      // It runs, and so keeps the lock.
      else printError(`kernel-lock: PID ${child.pid} can't be sent a signal (${code})`);
    });
    child.on('exit', (code, signal) => {
      resolve(signal === null ? (code as number) : 128 + constants.signals[signal]);
    });
  });
  let killing: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill('SIGTERM');
    child.kill('SIGCONT'); // one that was stopped gets it now
    killing = setTimeout(() => child.kill('SIGKILL'), GRACE);
  };
  held.signal.addEventListener('abort', stop);
  if (held.signal.aborted) stop();
  const status = await ended;
  clearTimeout(killing);
  stopForwarding();
  held.signal.removeEventListener('abort', stop);
  return status;
}

// Where the kernel can, it ends the program when this process is killed: nothing else would keep it
// from running on without its lock.
function tied(program: string[]): string[] {
  if (native().endWithParent === undefined) return program;
  const cli = process.argv[1] as string;
  return [process.execPath, ...process.execArgv, cli, UNDER, String(process.pid), ...program];
}

function forwardSignals(child: ChildProcess): () => void {
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  const leave = () => {};
  const onTerminal = isatty(0) || isatty(1) || isatty(2);
  for (const signal of FORWARDED) process.on(signal, forward);
  for (const signal of FROM_TERMINAL) process.on(signal, onTerminal ? leave : forward);
  return () => {
    for (const signal of [...FORWARDED, ...FROM_TERMINAL]) {
      process.off(signal, forward);
      process.off(signal, leave);
    }
  };
}
