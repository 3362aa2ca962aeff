// An orderly end on SIGTERM and SIGINT.

import { constants } from 'node:os';

/** The signals that ask a program to stop. */
export type ShutdownSignal = 'SIGTERM' | 'SIGINT';

const SIGNALS: readonly ShutdownSignal[] = ['SIGTERM', 'SIGINT'];

export interface Shutdown {
  work(signal: ShutdownSignal): unknown;
  /** How long `work` may take, in milliseconds. */
  timeout: number;
  release(): void;
  log: { warn(message: string): void; error(message: string): void };
}

const shutdowns = new Set<Shutdown>();

/**
 * On the first signal: does the work, releases, and ends the process as that signal would have,
 * when all that listen have done theirs. From then on signals have their usual effect again.
 * Returns a function that stops listening.
 */
export function shutDownOnSignals(shutdown: Shutdown): () => void {
  if (shutdowns.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  shutdowns.add(shutdown);
  return () => {
    shutdowns.delete(shutdown);
    if (shutdowns.size === 0) stopListening();
  };
}

function stopListening(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

function onSignal(signal: ShutdownSignal): void {
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
    const reason = error instanceof Error ? error.stack : String(error);
    quietly(() => log.error(`onShutdown failed: ${reason}`));
  } finally {
    clearTimeout(timer);
  }
}

// A logger that throws does not keep the process from ending.
function quietly(log: () => void): void {
  try {
    log();
  } catch {}
}

function endBy(signal: ShutdownSignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Still here: PID 1 of a container, which signals without a handler do not end.
  process.exit(128 + constants.signals[signal]);
}
