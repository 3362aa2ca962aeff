import { inspect } from '../inspect.js';
import { holderDetails } from '../report.js';
import type { Call } from './args.js';
import { duration, printJson, printLine, warnIfPrivate } from './output.js';

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
      const since = holder.acquiredAt?.getTime();
      const held = since === undefined ? '' : `, lock held for ${duration(Date.now() - since)}`;
      printLine(`📍 Running instance PID: ${holder.pid}${held}`);
      printLine(['Instance details:', ...holderDetails(holder)].join('\n'));
    }
    if (status.holders.length === 0) printLine('The holder can not be identified from here');
  }
  warnIfPrivate(call);
  return status.held ? 0 : 1;
}
