export { lock, lockPath, lockSync, tryLock, withLock } from './acquire.js';
export * from './errors.js';
export type {
  AcquiredEvent,
  LockEvent,
  LockEvents,
  LostEvent,
  RefusedEvent,
  ReleasedEvent,
  WaitedEvent,
} from './events.js';
export { checkRunning, inspect, list } from './inspect.js';
export { type Logger, SingleInstance, type SingleInstanceOptions } from './instance.js';
export { Lock } from './lock.js';
export type { ShutdownSignal } from './shutdown.js';
export { type KillOptions, killRunning } from './terminate.js';
export type * from './types.js';
