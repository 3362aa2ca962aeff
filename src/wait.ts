// Waiting for a lock: the native part queues, this side keeps time and cancels.

import { createRequire } from 'node:module';
import { onAbort } from './cancel.js';
import { DEADLOCK, type Failure, HELD, native, PENDING } from './native.js';
import type { LockRequest } from './request.js';

/** The outcomes of a wait that got neither a lock nor a failure. */
export const TIMED_OUT = 'timed out';
export const CANCELLED = 'cancelled';

type Result = number | Failure;
type Outcome = Result | typeof TIMED_OUT | typeof CANCELLED;

/**
 * A worker that is told to end can't be woken out of native code, and the process can't exit
 * before it ends. So a synchronous wait in a worker looks up this often, in milliseconds; the
 * main thread's and all asynchronous ones sleep until something happens.
 */
const WORKER_SLICE = 4;

/**
 * How long a wait whose time is up may take to end, in milliseconds. It takes microseconds, unless
 * the thread that waits in the kernel does not get out of there (a file system that hangs).
 */
const ENDING_TIME = 1000;

/**
 * Joins the line and resolves to what `accept` makes of what the native part grants, a lock or a
 * failure, without a detour on the way; of `CANCELLED` where the signal aborts first. Rejects with
 * what `accept` throws. Keeps the process alive.
 */
export function waitAsync<T>(
  request: LockRequest,
  wait: true | number,
  signal: AbortSignal | undefined,
  accept: (result: Outcome) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let forget: (() => void) | undefined;
    const leave = () => {
      clearTimeout(timer);
      forget?.();
    };
    const settled = (result: Outcome) => {
      leave();
      try {
        resolve(accept(result === HELD ? TIMED_OUT : result));
      } catch (error) {
        reject(error);
      }
    };
    const { path, shared, recordTail } = request;
    const ticket = native().enqueue(path, shared, recordTail, settled, false);
    if (typeof ticket !== 'number') return settled(ticket);

    if (signal !== undefined) {
      forget = onAbort(signal, () => {
        native().withdraw(ticket);
        settled(CANCELLED);
      });
    }
    if (wait !== true) {
      timer = setTimeout(() => {
        native().expire(ticket);
        timer = setTimeout(() => settled(endOf(ticket, 0)), ENDING_TIME);
      }, wait);
    }
  });
}

/** The same, blocking the thread. `DEADLOCK` where only this thread could end the wait. */
export function waitSync(request: LockRequest, wait: true | number): Result | typeof TIMED_OUT {
  const endless = wait === true;
  const { path, shared, recordTail } = request;
  const ticket = native().enqueue(path, shared, recordTail, undefined, endless);
  if (typeof ticket !== 'number' || ticket === DEADLOCK) return ticket;
  // Three milliseconds of an import, which only this needs.
  const { isMainThread }: typeof import('node:worker_threads') = createRequire(import.meta.url)(
    'node:worker_threads',
  );
  const deadline = endless ? Number.POSITIVE_INFINITY : performance.now() + wait;
  for (;;) {
    const left = Math.max(0, Math.ceil(deadline - performance.now()));
    const slice = isMainThread ? left : Math.min(left, WORKER_SLICE);
    const result = native().collect(ticket, Number.isFinite(slice) ? slice : -1);
    if (result !== PENDING) return result;
    if (left === 0) break;
  }
  native().expire(ticket);
  return endOf(ticket, ENDING_TIME);
}

/** Of a wait whose time is up, which is given up after `patience` milliseconds. */
function endOf(ticket: number, patience: number): Result | typeof TIMED_OUT {
  const result = native().collect(ticket, patience);
  if (result === PENDING) native().withdraw(ticket);
  return result === PENDING || result === HELD ? TIMED_OUT : result;
}
