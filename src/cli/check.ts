import { inspect } from '../inspect.js';
import { inspect as inspectOnServer } from '../postgres.js';
import { holderDetails, notRunning, runningLine, unknownLines } from '../report.js';
import type { Call } from './args.js';
import { heldFor, printJson, printLine, warnIfPrivate } from './output.js';
import { serverOf } from './server.js';

/** Exit status 0: running, 1: not running, or not known to be. */
export async function check(call: Call): Promise<number> {
  const server = serverOf(call);
  const status = server
    ? await inspectOnServer(call.name, server)
    : inspect(call.name, call.location);
  if (call.json) {
    printJson(status);
  } else if (!status.held) {
    printLine(notRunning(call.name, status.unknown));
  } else {
    printLine(`Application '${call.name}': RUNNING`);
    for (const holder of status.holders) {
      const held = heldFor(holder);
      const since = held === undefined ? '' : `, lock held for ${held}`;
      printLine(`${runningLine(holder)}${since}`);
      printLine(['Instance details:', ...holderDetails(holder)].join('\n'));
    }
    if (status.holders.length === 0) printLine('The holder can not be identified from here');
    for (const line of unknownLines(status.unknown)) printLine(line);
  }
  warnIfPrivate(call);
  return status.held ? 0 : 1;
}
