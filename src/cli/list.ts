import { list as listLocks } from '../inspect.js';
import { list as listOnServer } from '../postgres.js';
import type { Call } from './args.js';
import { printJson, printLine, warnIfPrivate } from './output.js';
import { serverOf } from './server.js';
import { table } from './table.js';
import { watch } from './watch.js';

export async function list(call: Call): Promise<number> {
  if (call.watch) return watch(call);
  const server = serverOf(call);
  const statuses = server ? await listOnServer(server) : listLocks(call.location);
  const width = process.stdout.isTTY ? process.stdout.columns || undefined : undefined; // 0: not known
  if (call.json) printJson(statuses);
  else printLine(table(statuses, width).join('\n'));
  warnIfPrivate(call);
  return 0;
}
