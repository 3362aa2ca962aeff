import { inspect } from '../inspect.js';
import { holderDetails, unknownLines } from '../report.js';
import type { Call } from './args.js';
import { heldFor, printJson, printLine, warnIfPrivate } from './output.js';

/** Exit status 0: running, 1: not running. */
export function check(call: Call): number {
  const status = inspect(call.name, call.location);
  if (call.json) {
    printJson(status);
  } else if (!status.held) {
    printLine(`Application '${call.name}': NOT RUNNING`);
  } else {
    printLine(`Application '${call.name}': RUNNING`);
    for (const holder of status.holders) {
      const held = heldFor(holder);
      const since = held === undefined ? '' : `, lock held for ${held}`;
      printLine(`📍 Running instance PID: ${holder.pid}${since}`);
      printLine(['Instance details:', ...holderDetails(holder)].join('\n'));
    }
    if (status.holders.length === 0) printLine('The holder can not be identified from here');
  }
  if (!call.json) for (const line of unknownLines(status.unknown)) printLine(line);
  warnIfPrivate(call);
  return status.held ? 0 : 1;
}
