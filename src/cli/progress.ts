import { closeSync, constants, openSync, writeSync } from 'node:fs';
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
 * the terminal once more, and `run` would pass that on.) A terminal that is stopped (Ctrl+S) or closed
 * meanwhile shows nothing, and holds up nobody.
 */
export function showWaiting(call: Call): () => void {
  if (!isatty(2) || call.json) return () => {};
  const started = Date.now();
  const terminal = openTerminal();
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
    write(terminal, `\r\x1b[K\x1b[?7l${line}\x1b[?7h`);
  };
  show();
  const timer = setInterval(show, 1000);
  return () => {
    clearInterval(timer);
    write(terminal, '\r\x1b[K');
    if (terminal !== 2) closeSync(terminal);
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

// So that a write does not block. macOS opens no terminal anew there, and one that another user has
// opened can't be: then it is stderr itself.
function openTerminal(): number {
  try {
    const { O_WRONLY, O_NONBLOCK = 0, O_NOCTTY = 0 } = constants;
    return openSync('/dev/fd/2', O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return 2;
  }
}

function write(terminal: number, text: string): void {
  try {
    writeSync(terminal, text);
  } catch {}
}
