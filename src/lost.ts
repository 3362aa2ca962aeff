// Whether a held lock's file is still where others look for it.

import { native } from './native.js';

/** Where the system does not tell of every change, the path is looked at this often, in milliseconds. */
const LOOK_AGAIN = 1000;

/**
 * Calls `onChange` whenever the path of the lock may lead to another file than before, and never at
 * once. Does not keep the process alive. Returns a function that ends it.
 */
export function watchLock(lock: number, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  // What stands on the way has to be watched anew before it is looked at.
  const watch = () => {
    if (!native().watch(lock, changed)) timer ??= setInterval(onChange, LOOK_AGAIN).unref();
  };
  const changed = () => {
    watch();
    onChange();
  };
  watch();
  return () => {
    clearInterval(timer);
    native().unwatch(lock);
  };
}
