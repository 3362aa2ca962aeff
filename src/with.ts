// Holding a lock while a function runs.

interface Held {
  release(): unknown;
}

type Run<L, T> = (lock: L) => T | Promise<T>;

/**
 * What every `withLock` does: acquires, runs the function, has `confirm` throw where the lock was
 * lost meanwhile, and releases however that ended.
 */
export async function holdWhile<L extends Held, O extends object, T>(
  acquire: (options: O) => Promise<L>,
  confirm: (lock: L) => void,
  optionsOrFn: O | Run<L, T>,
  fn: Run<L, T> | undefined,
): Promise<T> {
  const [options, run] =
    typeof optionsOrFn === 'function' ? [{} as O, optionsOrFn] : [optionsOrFn, fn];
  if (typeof run !== 'function') throw new TypeError('withLock wants a function to run');
  const held = await acquire(options);
  let result: T;
  try {
    result = await run(held);
    confirm(held);
  } finally {
    await held.release();
  }
  confirm(held); // the release may have found it out
  return result;
}
