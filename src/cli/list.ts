import { list as listLocks } from '../inspect.js';
import { commandLine } from '../report.js';
import type { LockStatus } from '../types.js';
import { type Call, UsageError } from './args.js';
import { duration, printJson, printLine, warnIfPrivate } from './output.js';

export function list(call: Call): number {
  if (call.watch) throw new UsageError("'list --watch' is not there yet");
  const statuses = listLocks(call.location);
  if (call.json) printJson(statuses);
  else for (const line of table(statuses)) printLine(line);
  warnIfPrivate(call);
  return 0;
}

function table(statuses: readonly LockStatus[]): string[] {
  if (statuses.length === 0) return ['No lock is held here.'];
  const rows = [['NAME', 'MODE', 'PID', 'USER', 'HELD FOR', 'COMMAND']];
  for (const { name, shared, holders } of statuses) {
    const mode = shared ? 'shared' : 'exclusive';
    if (holders.length === 0) rows.push([name, mode, '?', '?', '?', '?']);
    for (const { pid, user, acquiredAt, argv } of holders) {
      const held = acquiredAt ? duration(Date.now() - acquiredAt.getTime()) : '?';
      rows.push([name, mode, String(pid), user ?? '?', held, argv ? commandLine(argv) : '?']);
    }
  }
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
