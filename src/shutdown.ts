// An orderly end on the signals that ask for one.

import { constants } from 'node:os';
import { native } from './native.js';

/**
 * The signals that ask a program to stop. SIGHUP: its terminal was closed; on Windows its console,
 * which leaves it some seconds. SIGBREAK: Ctrl+Break on Windows.
 */
export type ShutdownSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGBREAK';

/** Those that end a shutdown at once when they come during one. */
const URGENT: readonly ShutdownSignal[] = ['SIGTERM', 'SIGINT', 'SIGBREAK'];
const SIGNALS: readonly ShutdownSignal[] = [...URGENT, 'SIGHUP'];

export interface Shutdown {
  work(signal: ShutdownSignal): unknown;
  /** How long `work` may take, in milliseconds. */
  timeout: number;
  release(): void;
  log: { warn(message: string): void; error(message: string): void };
}

const shutdowns = new Set<Shutdown>();
/** What it ends by, since the first signal. */
let ending: ShutdownSignal | undefined;
/** What came with the first signal may not have been told yet. */
let justBegun = false;
let releasedNow = false;
/** There a signal has no effect of its own. */
const IS_INIT = process.pid === 1;
/** To the end of a shutdown: Deno tells what it has caught any number of turns later. */
const LISTENS_ON = IS_INIT || process.versions.deno !== undefined;
/** How often it began to listen. */
let beginnings = 0;

/**
 * On the first signal: does the work, releases, and ends the process as that signal would have,
 * when all that listen have done theirs. From then on signals end the process at once, but for
 * SIGHUP. Returns a function that stops listening.
 */
export function shutDownOnSignals(shutdown: Shutdown): () => void {
  if (shutdowns.size === 0 && ending === undefined) startListening();
  shutdowns.add(shutdown);
  return () => {
    shutdowns.delete(shutdown);
    releasedNow = true;
    process.nextTick(() => {
      releasedNow = false;
    });
    if (shutdowns.size > 0 || ending !== undefined) return;
    const begun = beginnings;
    for (const signal of SIGNALS) leave(signal, () => begun !== beginnings);
  };
}

function startListening(): void {
  beginnings++;
  for (const signal of SIGNALS) {
    // Those of one that was released just now are still there.
    catchAgain(signal);
    listen(signal);
  }
  // To a daemon it means to reload, and to a program under nohup nothing (Node makes it deadly
  // again when it starts): whoever listens for it already has a meaning for it.
  if (othersOn('SIGHUP').length > 0) process.off('SIGHUP', onSignal);
}

function listen(signal: ShutdownSignal): void {
  if (process.listenerCount(signal) === othersOn(signal).length) process.on(signal, onSignal);
}

function othersOn(signal: ShutdownSignal) {
  return process.listeners(signal).filter((listener) => listener !== onSignal);
}

/**
 * Stops listening, unless this one `stays` by then. With the last listener, libuv drops what it has
 * caught and not told: so the signal has its own effect first, and this still hears what came before.
 */
function leave(signal: ShutdownSignal, stays: () => boolean): void {
  letThrough(signal);
  afterPoll(() => {
    if (stays()) return;
    // Another one listened until now.
    if (letThrough(signal)) return leave(signal, stays);
    process.off(signal, onSignal);
    catchAgain(signal); // where a libuv handle that is not Node's has kept the handler in use
  });
}

const through = new Set<string | symbol>();

/**
 * Gives the signal its own effect where nobody else listens; returns whether it did. A worker thread's
 * listeners are never told.
 */
function letThrough(signal: ShutdownSignal): boolean {
  if (through.has(signal) || !isAlone(signal) || IS_INIT) return false;
  const number: number | undefined = constants.signals[signal];
  if (native().letThrough === undefined || number === undefined) return false;
  // Three milliseconds of an import, which only this needs.
  if (!process.getBuiltinModule('node:worker_threads').isMainThread) return false;
  // The handler is libuv's, which does not set it for a second listener.
  if (through.size === 0) process.on('newListener', catchAgain);
  through.add(signal);
  native().letThrough?.(number);
  return true;
}

function catchAgain(signal: string | symbol): void {
  if (!through.delete(signal)) return;
  if (through.size === 0) process.off('newListener', catchAgain);
  native().catchAgain?.(constants.signals[signal as ShutdownSignal]);
}

function isAlone(signal: ShutdownSignal): boolean {
  return process.listenerCount(signal) === 1 && othersOn(signal).length === 0;
}

/**
 * Calls it when the signals that were caught before have been told, which those are not that have no
 * listener by then. Twice, because the first may come before this turn has looked for them.
 */
function afterPoll(call: () => void): void {
  setImmediate(() => setImmediate(call));
}

function onSignal(signal: ShutdownSignal): void {
  if (ending !== undefined) {
    // A closed terminal says so twice, by the shell and by the kernel; systemd may say it right after
    // SIGTERM (SendSIGHUP=). Of two that wait for a process, the kernel delivers SIGHUP first.
    if (signal === 'SIGHUP') return;
    if (ending !== 'SIGHUP' || !cameWithFirst(signal)) endBy(signal);
    ending = signal;
    return;
  }
  if (shutdowns.size === 0) {
    // It was released since this one was caught; unless by another listener, just now, whose it is.
    if (othersOn(signal).length === 0 && !releasedNow) endBy(signal);
    return;
  }
  ending = signal;
  justBegun = true;
  const others = othersOn(signal).length > 0;
  listen('SIGHUP');
  // Without a listener they end the process, even one that is blocked.
  for (const next of URGENT) leave(next, () => LISTENS_ON || !isAlone(next));
  const begin = () => {
    const told = ending ?? signal;
    void Promise.all([...shutdowns].map((shutdown) => end(shutdown, told))).then(() =>
      endBy(ending ?? signal),
    );
  };
  afterPoll(() => {
    justBegun = false;
  });
  // A listener of the program's own may end it: not before the work has begun.
  if (others) begin();
  else afterPoll(begin);
}

/** What is told although it is let through was caught before. */
function cameWithFirst(signal: ShutdownSignal): boolean {
  return justBegun || through.has(signal);
}

async function end(shutdown: Shutdown, signal: ShutdownSignal): Promise<void> {
  if (!shutdowns.has(shutdown)) return; // another one's work has released it
  await workWithinTime(shutdown, signal);
  shutdown.release();
}

async function workWithinTime(shutdown: Shutdown, signal: ShutdownSignal): Promise<void> {
  const { log, timeout } = shutdown;
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      resolve();
      quietly(() => log.warn(`⚠️  onShutdown took longer than ${timeout} ms; ending without it`));
    }, timeout);
  });
  try {
    await Promise.race([(async () => shutdown.work(signal))(), timeUp]);
  } catch (error) {
    const reason = () => (error instanceof Error ? error.stack : String(error));
    quietly(() => log.error(`onShutdown failed: ${reason()}`));
  } finally {
    clearTimeout(timer);
  }
}

/** For a logger where what it throws would do harm: it keeps no process from ending, for one. */
export function quietly(log: () => unknown): void {
  try {
    Promise.resolve(log()).catch(() => {});
  } catch {}
}

/** Has the signal do to this process what it does where nobody listens. */
export function raise(signal: ShutdownSignal): void {
  process.removeAllListeners(signal);
  // Deno keeps its handler, and has another thread end the process: some time later.
  native().letThrough?.(constants.signals[signal]);
  process.kill(process.pid, signal);
}

function endBy(signal: ShutdownSignal): never {
  try {
    raise(signal);
  } catch {} // Windows can't send it
  // Still here: PID 1 of a container, which signals without a handler do not end.
  exitNow(128 + constants.signals[signal]);
}

/** `process.exit`, also where a listener of its 'exit' throws: the second time, none is asked. */
export function exitNow(status: number): never {
  try {
    process.exit(status);
  } finally {
    process.exit(status);
  }
}
