export * from './errors.js';
export { checkRunning, inspect, list } from './inspect.js';
export { type Logger, SingleInstance, type SingleInstanceOptions } from './instance.js';
export { Lock, lock, lockPath, lockSync, tryLock, withLock } from './lock.js';
export type { ShutdownSignal } from './shutdown.js';
export { type KillOptions, killRunning } from './terminate.js';
export type * from './types.js';
