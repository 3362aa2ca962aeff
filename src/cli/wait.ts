import { LockTimeoutError } from '../errors.js';
import { inspect } from '../inspect.js';
import { lock } from '../lock.js';
import type { Call } from './args.js';
import { EXIT_CONFLICT } from './exit.js';
import { printError, printJson, warnIfPrivate } from './output.js';
import { showWaiting } from './progress.js';

/** Exit status 0 when the lock is free, 75 when the time ran out. */
export async function wait(call: Call): Promise<number> {
  const { name, location, timeout = true } = call;
  const started = performance.now();
  warnIfPrivate(call);
  // Only who has to wait takes a place in the kernel's queue, and leaves it as soon as it is served.
  const free = !inspect(name, location).held || (await waitUntilFree(call, timeout));
  if (call.json) printJson({ name, free, waitedMs: Math.round(performance.now() - started) });
  else if (!free) printError(`Application '${name}': still running`);
  return free ? 0 : EXIT_CONFLICT;
}

async function waitUntilFree(call: Call, timeout: number | true): Promise<boolean> {
  const hide = showWaiting(call);
  try {
    (await lock(call.name, { ...call.location, wait: timeout })).release();
    return true;
  } catch (error) {
    if (error instanceof LockTimeoutError) return false;
    throw error;
  } finally {
    hide();
  }
}
