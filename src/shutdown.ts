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
/** Until when, by `performance.now()`, what is told may have come with the first signal. */
let togetherUntil = 0;
let releasedNow = false;
/** There a signal has no effect of its own. */
const IS_INIT = process.pid === 1;
/**
 * How long that is where the work has begun already, in milliseconds: what comes while it blocks the thread
 * is told in the same turn.
 */
const TOGETHER = 100;
/**
 * To the end of a shutdown, where signals can be let through: another thread may have caught one before,
 * and tell it late. (On Windows a listener keeps Ctrl+C from ending a process that is blocked.)
 */
const LISTENS_ON = process.platform !== 'win32';
/** How often it began to listen. */
let beginnings = 0;

/**
 * On the first signal: does the work, releases, and ends the process as that signal would have,
 * when all that listen have done theirs. From then on signals end the process at once, but for
 * SIGHUP, and for one that came with it where it was the first. Returns a function that stops
 * listening.
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
  const others = othersOn(signal).length > 0;
  togetherUntil = others ? performance.now() + TOGETHER : Number.POSITIVE_INFINITY;
  listen('SIGHUP');
  // From now on they end the process, even one that is blocked.
  for (const next of URGENT) leave(next, () => LISTENS_ON || !isAlone(next));
  const begin = () => {
    const told = ending ?? signal;
    void Promise.all([...shutdowns].map((shutdown) => end(shutdown, told))).then(() =>
      endBy(ending ?? signal),
    );
  };
  afterPoll(() => {
    togetherUntil = 0;
    for (const next of URGENT) letThrough(next); // where another one listened until now
  });
  // A listener of the program's own may end it: not before the work has begun.
  if (others) begin();
  else afterPoll(begin);
}

/** What is told although it is let through was caught before. */
function cameWithFirst(signal: ShutdownSignal): boolean {
  return performance.now() < togetherUntil || through.has(signal);
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

/** Ends the process as the signal would have, did nobody listen. */
export function endBy(signal: ShutdownSignal): never {
  process.removeAllListeners(signal);
  try {
    // Deno keeps its handler, and has another thread end the process: later than the exit below.
    native().letThrough?.(constants.signals[signal]);
  } catch {} // the command line can list without a native part
  try {
    process.kill(process.pid, signal);
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
