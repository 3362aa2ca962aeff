import { list as listLocks } from '../inspect.js';
import type { Call } from './args.js';
import { printJson, printLine, warnIfPrivate } from './output.js';
import { table } from './table.js';
import { watch } from './watch.js';

export function list(call: Call): number | Promise<number> {
  if (call.watch) return watch(call);
  const statuses = listLocks(call.location);
  const width = process.stdout.isTTY ? process.stdout.columns : undefined;
  if (call.json) printJson(statuses);
  else printLine(table(statuses, width).join('\n'));
  warnIfPrivate(call);
  return 0;
}
