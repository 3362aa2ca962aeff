// Keeps the files of held locks from looking unused: macOS deletes files in its temporary directories
// that nobody has accessed for three days, locked or not.

import { native } from './native.js';

/** Milliseconds. Short, because a computer that wakes from days of sleep cleans up soon after. */
const INTERVAL = 600_000;

const locks = new Set<number>();
let timer: NodeJS.Timeout | undefined;

/** Refreshes the times of the lock's file now and then. Does not keep the process alive. */
export function keepFresh(lock: number): void {
  locks.add(lock);
  timer ??= setInterval(() => {
    for (const held of locks) native().touch(held);
  }, INTERVAL).unref();
}

/** Ends that, before the lock is released. */
export function letAge(lock: number): void {
  locks.delete(lock);
  if (locks.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
