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

/**
 * On the first signal: does the work, releases, and ends the process as that signal would have.
 * From then on signals have their usual effect again. Returns a function that stops listening.
 */
export function shutDownOnSignals(shutdown: Shutdown): () => void {
  const stop = () => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  const onSignal = (signal: ShutdownSignal) => {
    stop();
    void workWithinTime(shutdown, signal).then(() => {
      shutdown.release();
      endBy(signal);
    });
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return stop;
}

async function workWithinTime(shutdown: Shutdown, signal: ShutdownSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      shutdown.log.warn(`⚠️  onShutdown took longer than ${shutdown.timeout} ms; ending without it`);
      resolve();
    }, shutdown.timeout);
  });
  try {
    await Promise.race([(async () => shutdown.work(signal))(), timeUp]);
  } catch (error) {
    shutdown.log.error(
      `onShutdown failed: ${error instanceof Error ? error.stack : String(error)}`,
    );
  } finally {
    clearTimeout(timer);
  }
}

function endBy(signal: ShutdownSignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Still here: PID 1 of a container, which signals without a handler do not end.
  process.exit(128 + constants.signals[signal]);
}
