// An orderly end on the signals that ask for one.

import { constants } from 'node:os';

/**
 * The signals that ask a program to stop. SIGHUP: its terminal was closed; on Windows its console,
 * which leaves it some seconds. SIGBREAK: Ctrl+Break on Windows.
 */
export type ShutdownSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGBREAK';

/** Those that end a shutdown at once when they come during one. */
const URGENT: readonly ShutdownSignal[] = ['SIGTERM', 'SIGINT', 'SIGBREAK'];

export interface Shutdown {
  work(signal: ShutdownSignal): unknown;
  /** How long `work` may take, in milliseconds. */
  timeout: number;
  release(): void;
  log: { warn(message: string): void; error(message: string): void };
}

const shutdowns = new Set<Shutdown>();
let ending = false;

/**
 * On the first signal: does the work, releases, and ends the process as that signal would have,
 * when all that listen have done theirs. From then on signals end the process at once, but for
 * SIGHUP. Returns a function that stops listening.
 */
export function shutDownOnSignals(shutdown: Shutdown): () => void {
  if (shutdowns.size === 0 && !ending) startListening();
  shutdowns.add(shutdown);
  return () => {
    shutdowns.delete(shutdown);
    if (shutdowns.size === 0) stopListening();
  };
}

function startListening(): void {
  for (const signal of URGENT) process.on(signal, onSignal);
  // To a daemon it means to reload, and to a program under nohup nothing (Node makes it deadly
  // again when it starts): whoever listens for it already has a meaning for it.
  if (process.listenerCount('SIGHUP') === 0) process.on('SIGHUP', onSignal);
}

function stopListening(): void {
  for (const signal of [...URGENT, 'SIGHUP']) process.off(signal, onSignal);
}

function onSignal(signal: ShutdownSignal): void {
  ending = true;
  // Before the ones that go: between two listeners a signal has its own effect, which ends this
  // process, and which the first process of a container does not have at all.
  for (const next of URGENT) {
    // Without a listener they end the process, even one that is blocked; but not that first one.
    const others = process.listeners(next).some((listener) => listener !== onSignal);
    if (others || process.pid === 1) process.on(next, endBy);
  }
  // A closed terminal says so twice, by the shell and by the kernel; systemd may say it right after
  // SIGTERM (SendSIGHUP=).
  process.on('SIGHUP', () => {});
  stopListening();
  const all = [...shutdowns].map(async (shutdown) => {
    await workWithinTime(shutdown, signal);
    shutdown.release();
  });
  void Promise.all(all).then(() => endBy(signal));
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
    quietly(() => {
      const reason = error instanceof Error ? error.stack : String(error);
      log.error(`onShutdown failed: ${reason}`);
    });
  } finally {
    clearTimeout(timer);
  }
}

/** For a logger where what it throws would do harm: it keeps no process from ending, for one. */
export function quietly(log: () => void): void {
  try {
    log();
  } catch {}
}

function endBy(signal: ShutdownSignal): void {
  process.removeAllListeners(signal);
  try {
    process.kill(process.pid, signal);
  } catch {} // Windows can't send it
  // Still here: PID 1 of a container, which signals without a handler do not end.
  process.exit(128 + constants.signals[signal]);
}
