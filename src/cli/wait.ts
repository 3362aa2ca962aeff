import { lock } from '../acquire.js';
import { LockTimeoutError } from '../errors.js';
import { inspect } from '../inspect.js';
import {
  inspect as inspectOnServer,
  lock as lockOnServer,
  type ServerOptions,
} from '../postgres.js';
import type { Call } from './args.js';
import { EXIT_CONFLICT } from './exit.js';
import { printError, printJson, warnIfPrivate } from './output.js';
import { showWaiting } from './progress.js';
import { serverOf } from './server.js';

/** Exit status 0 when the lock is free, 75 when the time ran out. */
export async function wait(call: Call): Promise<number> {
  const { name, location, timeout = true } = call;
  const server = serverOf(call);
  const started = performance.now();
  warnIfPrivate(call);
  // Only who has to wait takes a place in the kernel's queue, and leaves it as soon as it is served; and
  // where asking does not tell that it is free (another computer may hold it), the queue does.
  const { held, unknown } = server ? await inspectOnServer(name, server) : inspect(name, location);
  const isFree = !held && unknown.length === 0;
  const free = isFree || (await waitUntilFree(call, timeout, server));
  if (call.json) printJson({ name, free, waitedMs: Math.round(performance.now() - started) });
  else if (!free) printError(`Application '${name}': still running`);
  return free ? 0 : EXIT_CONFLICT;
}

async function waitUntilFree(
  call: Call,
  timeout: number | true,
  server: ServerOptions | undefined,
): Promise<boolean> {
  const hide = showWaiting(call);
  try {
    const held = server
      ? await lockOnServer(call.name, { ...server, wait: timeout })
      : await lock(call.name, { ...call.location, wait: timeout });
    await held.release();
    return true;
  } catch (error) {
    if (error instanceof LockTimeoutError) return false;
    throw error;
  } finally {
    hide();
  }
}
