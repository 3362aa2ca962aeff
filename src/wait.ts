// Waiting for a lock: the native part queues, this side keeps time and cancels.

import { isMainThread } from 'node:worker_threads';
import { onAbort } from './cancel.js';
import { DEADLOCK, type Failure, native, PENDING } from './native.js';
import type { LockRequest } from './request.js';

/** The outcome of a wait that got neither a lock nor a failure. */
export const TIMED_OUT = 'timed out';

type Result = number | Failure;

/**
 * A worker that is told to end can't be woken out of native code, and the process can't exit
 * before it ends. So a synchronous wait in a worker looks up this often, in milliseconds; the
 * main thread's and all asynchronous ones sleep until something happens.
 */
const WORKER_SLICE = 4;

/**
 * Joins the line and resolves to what the native part grants: a lock, or a failure. Rejects with
 * the signal's reason where that aborts first. Keeps the process alive.
 */
export function waitAsync(
  request: LockRequest,
  wait: true | number,
  signal: AbortSignal | undefined,
): Promise<Result | typeof TIMED_OUT> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let forget: (() => void) | undefined;
    const leave = () => {
      clearTimeout(timer);
      forget?.();
    };
    const settled = (result: Result) => {
      leave();
      resolve(result);
    };
    const { path, shared, recordTail } = request;
    const ticket = native().enqueue(path, shared, recordTail, settled, false);
    if (typeof ticket !== 'number') return resolve(ticket);

    const cancel = () => {
      leave();
      native().withdraw(ticket);
    };
    if (signal !== undefined) {
      forget = onAbort(signal, () => {
        cancel();
        reject(signal.reason);
      });
    }
    if (wait !== true) {
      timer = setTimeout(() => {
        cancel();
        resolve(TIMED_OUT);
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
  const deadline = endless ? Number.POSITIVE_INFINITY : performance.now() + wait;
  for (;;) {
    const left = Math.max(0, Math.ceil(deadline - performance.now()));
    const slice = isMainThread ? left : Math.min(left, WORKER_SLICE);
    const result = native().collect(ticket, Number.isFinite(slice) ? slice : -1);
    if (result !== PENDING) return result;
    if (left === 0) {
      native().withdraw(ticket);
      return TIMED_OUT;
    }
  }
}
