import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { inspect } from '../inspect.js';
import { inspect as inspectOnServer } from '../postgres.js';
import { commandOf, nameOf, printable } from '../report.js';
import type { Holder, PostgresHolder } from '../types.js';
import type { Call } from './args.js';
import { duration } from './output.js';
import { serverOf } from './server.js';

/**
 * On a terminal: whom this waits for and how long, renewed each second in one line of stderr.
 * Elsewhere nothing. Returns a function that ends it and clears the line. (process.stderr would open
 * the terminal once more, and `run` would pass that on.)
 */
export function showWaiting(call: Call): () => void {
  if (!isatty(2) || call.json) return () => {};
  const started = Date.now();
  const server = serverOf(call);
  let holder: Holder | PostgresHolder | undefined;
  // A server is asked for its holder once: each question is a session.
  if (server !== undefined) {
    void inspectOnServer(call.name, server).then(
      ({ holders }) => {
        holder = holders[0];
      },
      () => {},
    );
  }
  const show = () => {
    if (server === undefined) holder = holderOf(call);
    const who =
      holder === undefined
        ? ''
        : `, held by ${printable(nameOf(holder))}${holder.argv ? ` (${commandOf(holder.argv)})` : ''}`;
    const line = `⏳ Waiting for '${call.name}'${who}: ${duration(Date.now() - started)}`;
    // Cut by the terminal, which knows its width.
    writeSync(2, `\r\x1b[K\x1b[?7l${line}\x1b[?7h`);
  };
  show();
  const timer = setInterval(show, 1000);
  return () => {
    clearInterval(timer);
    writeSync(2, '\r\x1b[K');
  };
}

// A lock can be waited for where nobody can be asked who holds it.
function holderOf({ name, location }: Call): Holder | undefined {
  try {
    return inspect(name, location).holders[0];
  } catch {
    return undefined;
  }
}
