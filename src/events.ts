// What happens to locks, told to whoever listens on node:diagnostics_channel. A lock that nobody
// listens for costs a look at a property.

import { channel } from 'node:diagnostics_channel';
import type { LockLostError } from './errors.js';
import type { Holder, PostgresHolder } from './types.js';

/** What every message says: which lock it is about. */
export interface LockEvent {
  name: string;
  path: string;
  shared: boolean;
}

/** A wait is over, however it ended: by a grant, by its time, by its `AbortSignal`, by an error. */
export interface WaitedEvent extends LockEvent {
  outcome: 'acquired' | 'timeout' | 'cancelled' | 'failed';
  /** How long it took, in milliseconds by the monotonic clock, as all durations here. */
  waitedMs: number;
}

/** A lock was acquired. */
export interface AcquiredEvent extends LockEvent {
  /** 0 where it was free. */
  waitedMs: number;
}

/** A lock was not to be had, because somebody holds it; `tryLock` has returned `null`. */
export interface RefusedEvent extends LockEvent {
  waitedMs: number;
  /** Who held it a moment ago, where that can be known. */
  holder: Holder | PostgresHolder | undefined;
}

/**
 * A lock was released. A process or worker thread that ends with a lock tells nobody. On PostgreSQL it
 * is told when the server has answered; one who waited may have been told before.
 */
export interface ReleasedEvent extends LockEvent {
  heldMs: number;
}

/** A lock was lost, and `Lock.signal` aborted; its release is not told any more. */
export interface LostEvent extends LockEvent {
  heldMs: number;
  error: LockLostError;
}

/**
 * The channels of `node:diagnostics_channel`, with their messages. Each lock that was acquired is
 * released or lost once. A subscriber runs synchronously; what it throws becomes an uncaught
 * exception of the program, after the lock's own work was done. Each worker thread has channels of
 * its own.
 */
export interface LockEvents {
  'kernel-lock:waited': WaitedEvent;
  'kernel-lock:acquired': AcquiredEvent;
  'kernel-lock:refused': RefusedEvent;
  'kernel-lock:released': ReleasedEvent;
  'kernel-lock:lost': LostEvent;
}

const waited = channel('kernel-lock:waited');
const acquired = channel('kernel-lock:acquired');
const refused = channel('kernel-lock:refused');
const released = channel('kernel-lock:released');
const lost = channel('kernel-lock:lost');

export function tellWaited(
  { name, path, shared }: LockEvent,
  outcome: WaitedEvent['outcome'],
  waitedMs: number,
): void {
  if (!waited.hasSubscribers) return;
  waited.publish({ name, path, shared, outcome, waitedMs } satisfies WaitedEvent);
}

export function tellAcquired({ name, path, shared }: LockEvent, waitedMs: number): void {
  if (!acquired.hasSubscribers) return;
  acquired.publish({ name, path, shared, waitedMs } satisfies AcquiredEvent);
}

/** Whether anybody wants to hear of refusals: for one who has to ask a server for the holder first. */
export function refusalsAreHeard(): boolean {
  return refused.hasSubscribers;
}

/** Looks for the holder only where somebody listens. */
export function tellRefused(
  { name, path, shared }: LockEvent,
  waitedMs: number,
  holder: () => Holder | PostgresHolder | undefined,
): void {
  if (!refused.hasSubscribers) return;
  refused.publish({ name, path, shared, waitedMs, holder: holder() } satisfies RefusedEvent);
}

/** `acquiredAt` by `performance.now()`. */
export function tellReleased({ name, path, shared }: LockEvent, acquiredAt: number): void {
  if (!released.hasSubscribers) return;
  const heldMs = performance.now() - acquiredAt;
  released.publish({ name, path, shared, heldMs } satisfies ReleasedEvent);
}

export function tellLost(
  { name, path, shared }: LockEvent,
  acquiredAt: number,
  error: LockLostError,
): void {
  if (!lost.hasSubscribers) return;
  const heldMs = performance.now() - acquiredAt;
  lost.publish({ name, path, shared, heldMs, error } satisfies LostEvent);
}
