import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { inspect } from '../inspect.js';
import { commandOf } from '../report.js';
import type { Call } from './args.js';
import { duration } from './output.js';

/**
 * On a terminal: whom this waits for and how long, renewed each second in one line of stderr.
 * Elsewhere nothing. Returns a function that ends it and clears the line. (process.stderr would open
 * the terminal once more, and `run` would pass that on.)
 */
export function showWaiting(call: Call): () => void {
  if (!isatty(2) || call.json) return () => {};
  const started = Date.now();
  const show = () => {
    const [holder] = inspect(call.name, call.location).holders;
    const who =
      holder === undefined
        ? ''
        : `, held by PID ${holder.pid}${holder.argv ? ` (${commandOf(holder.argv)})` : ''}`;
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
