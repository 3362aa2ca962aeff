export * from './errors.js';
export { checkRunning, inspect, list } from './inspect.js';
export { Lock, lock, lockPath, lockSync, tryLock, withLock } from './lock.js';
export type * from './types.js';
