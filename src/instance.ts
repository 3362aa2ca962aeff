// Symbol.dispose, also for a program whose own target is older.
/// <reference lib="esnext.disposable" preserve="true" />
import { writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { lockSync } from './acquire.js';
import { LockHeldError } from './errors.js';
import type { Lock } from './lock.js';
import { checkInput, LOCK_SYNC_OPTIONS, type OptionName } from './options.js';
import { conflictReport, heldMilliseconds, privateDirectoryWarning } from './report.js';
import { handOver, hearSecondInstances } from './second.js';
import { exitNow, quietly, type ShutdownSignal, shutDownOnSignals } from './shutdown.js';
import { privateDirectory } from './system.js';
import type { LockSyncOptions } from './types.js';

/** Where messages go: `console`, pino, winston and the like fit. */
export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** How a program wants to be the only instance. */
export interface SingleInstanceOptions extends LockSyncOptions {
  /** `exit` (default): report on stderr and exit with status 1. `throw`: throw the `LockHeldError`. */
  onConflict?: 'exit' | 'throw' | undefined;
  /**
   * Runs on SIGTERM, SIGINT and SIGHUP (Windows: Ctrl+C, Ctrl+Break, a closed console), before the
   * lock is released; a promise is awaited. It does not run when the program ends without a signal:
   * by an exception, by `process.exit`, or because nothing is left to do.
   */
  onShutdown?: ((signal: ShutdownSignal) => unknown) | undefined;
  /**
   * How long the promise of `onShutdown` may take, in milliseconds; then the process ends without
   * it. Default 10,000. Windows ends a program some seconds after its console was closed, whatever
   * this says.
   */
  shutdownTimeout?: number | undefined;
  /**
   * Runs in the first instance when a second one that has this option too was refused, with the
   * second one's `process.argv` and working directory; then the second one reports and exits as
   * ever (or throws). Only from the same user, on the same machine. The second one is held up for
   * five seconds at the most; what is longer than 1 MiB is not handed over, and bytes that are not
   * UTF-8 are what Node made of them. Not with `shared`.
   *
   * The socket is in the directory of scope `user`, which nobody else can enter. On Windows it is
   * a named pipe with Node's default rights: other users can't write to it, but one who makes a
   * pipe of that name first gets the arguments. What it throws is an uncaught exception.
   */
  onSecondInstance?: ((argv: string[], cwd: string) => void) | undefined;
  /** Default: `console`, except that the report of a conflict is written to stderr directly. */
  logger?: Logger | undefined;
}

const INSTANCE_OPTIONS: readonly OptionName[] = [
  ...LOCK_SYNC_OPTIONS,
  'onConflict',
  'onShutdown',
  'shutdownTimeout',
  'onSecondInstance',
  'logger',
];
const DEFAULT_SHUTDOWN_TIMEOUT = 10_000;

/**
 * The one-liner for programs: `new SingleInstance('trading_bot')` makes this process the only
 * instance on the machine, or reports who is and exits with status 1.
 *
 * On SIGTERM, SIGINT and SIGHUP it runs `onShutdown`, releases the lock and ends the process as the
 * signal would have. A second SIGTERM or SIGINT during that is not held up: it ends the process at
 * once. (As PID 1 of a container too, unless `onShutdown` blocks the thread: there the kernel drops
 * signals that nobody can handle.) A SIGHUP during that changes nothing: a closing terminal sends
 * two, and systemd one right after SIGTERM (`SendSIGHUP=`), which the kernel may deliver first. A
 * program that listens for SIGHUP before it makes its instance keeps that signal to itself, to reload
 * for example.
 *
 * A wait blocks the thread. A signal ends the process meanwhile as ever, unless the program handles
 * that signal, or is PID 1 of a container: then it comes after the wait. Signals are the main
 * thread's business; in a worker thread use `lock` (a refused instance would end that thread alone).
 *
 * @throws LockError as `lockSync`; `LOCK_HELD` (or `LOCK_TIMEOUT`) only with `onConflict: 'throw'`.
 */
export class SingleInstance {
  readonly lock: Lock;
  readonly #stopListening: () => void;
  readonly #stopHearing: (() => void) | undefined;

  constructor(name: string, options: SingleInstanceOptions = {}) {
    const checked = checkInput(name, options, INSTANCE_OPTIONS);
    const { onConflict, onShutdown, shutdownTimeout, onSecondInstance, logger, ...lockOptions } =
      checked;
    const log = logger ?? console;

    const listen = () =>
      shutDownOnSignals({
        work: (signal) => {
          this.#stopHearing?.(); // what it was given now would end with it
          return onShutdown?.(signal);
        },
        timeout: shutdownTimeout ?? DEFAULT_SHUTDOWN_TIMEOUT,
        release: () => this.release(),
        log,
      });
    // The kernel drops a signal that PID 1 does not listen for when it comes: a container that waits.
    const stopListening = process.pid === 1 ? listen() : undefined;
    try {
      this.lock = acquire(name, lockOptions, checked);
    } catch (error) {
      stopListening?.();
      throw error;
    }
    try {
      log.info(`✅ Lock acquired for '${name}' (PID: ${process.pid})`);
      const directory = dirname(this.lock.path);
      const reason = privateDirectory(directory);
      if (reason !== undefined) log.warn(privateDirectoryWarning(directory, reason));
    } catch (error) {
      stopListening?.();
      this.lock.release(); // a logger's; nobody gets an instance to release
      throw error;
    }

    if (onSecondInstance !== undefined) {
      this.#stopHearing = hearSecondInstances(
        this.lock.path,
        ({ argv, cwd }) => onSecondInstance(argv, cwd),
        (reason) => quietly(() => log.warn(`⚠️  Second instances can't hand over: ${reason}`)),
      );
    }
    this.#stopListening = stopListening ?? listen();
  }

  /** Whether this process is the instance: `false` after `release()`. */
  get held(): boolean {
    return this.lock.held;
  }

  /** Gives the name up and stops listening for signals; a second call does nothing. */
  release(): void {
    this.#stopListening();
    this.#stopHearing?.();
    this.lock.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

function acquire(
  name: string,
  options: LockSyncOptions,
  { onConflict, onSecondInstance, logger }: SingleInstanceOptions,
): Lock {
  try {
    return lockSync(name, options);
  } catch (error) {
    if (!(error instanceof LockHeldError)) throw error;
    const { holder, path } = error;
    // Not to itself: this thread, which would have to listen, is blocked.
    const wanted = onSecondInstance !== undefined && holder?.pid !== process.pid;
    const handedOver = wanted && handOver(path as string, holder && heldMilliseconds(holder));
    if (onConflict === 'throw') throw error;
    const report = conflictReport(name, error, options, handedOver);
    try {
      // Synchronously, because the process ends here.
      if (logger === undefined) writeSync(2, `${report}\n`);
      else logger.error(report);
    } finally {
      exitNow(1); // also where nobody can be told: a second bot must not run on
    }
  }
}
