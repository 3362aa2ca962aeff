import { inspect } from '../inspect.js';
import { commandLine } from '../report.js';
import type { Call } from './args.js';
import { duration } from './output.js';

/**
 * On a terminal: whom this waits for and how long, renewed each second in one line of stderr.
 * Elsewhere nothing. Returns a function that ends it and clears the line.
 */
export function showWaiting(call: Call): () => void {
  const { stderr } = process;
  if (!stderr.isTTY || call.json) return () => {};
  const started = Date.now();
  const show = () => {
    const [holder] = inspect(call.name, call.location).holders;
    const who =
      holder === undefined
        ? ''
        : `, held by PID ${holder.pid}${holder.argv ? ` (${commandLine(holder.argv)})` : ''}`;
    const line = `⏳ Waiting for '${call.name}'${who}: ${duration(Date.now() - started)}`;
    stderr.write(`\r\x1b[K${line.slice(0, stderr.columns - 2)}`);
  };
  show();
  const timer = setInterval(show, 1000);
  return () => {
    clearInterval(timer);
    stderr.write('\r\x1b[K');
  };
}
