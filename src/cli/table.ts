// The held locks as a table.

import { commandOf, isRemote, megabytes, printable } from '../report.js';
import type { Holder, LockStatus, PostgresHolder, PostgresStatus } from '../types.js';
import { heldFor } from './output.js';

const HEAD = ['NAME', 'MODE', 'PID', 'USER', 'HELD FOR', 'CPU', 'MEMORY', 'WAITING', 'COMMAND'];
const SERVER_HEAD = ['NAME', 'MODE', 'PID', 'HOST', 'HELD FOR', 'TOKEN', 'WAITING', 'SESSION'];
const NUMBERS = new Set(['PID', 'CPU', 'MEMORY', 'TOKEN', 'WAITING']);
const UNKNOWN = '?';
/** Cells of this width at the most, but for the last column: 200 characters make a lock's name. */
const MAX_CELL = 40;

/**
 * A line for each holder, and below the table, why something in it is not known. Where `width` is
 * given, no line takes more columns of a terminal.
 */
export function table(
  statuses: readonly LockStatus[] | readonly PostgresStatus[],
  width?: number,
): string[] {
  if (statuses.length === 0) return ['No lock is held here.'];
  const onServer = statuses.some(({ holders }) => holders.some(isRemote));
  const head = onServer ? SERVER_HEAD : HEAD;
  const rows = [head, ...statuses.flatMap((status) => rowsOf(status, head))].map((row) =>
    row.map((cell, column) => (column < head.length - 1 ? cut(cell, MAX_CELL) : cell)),
  );
  const widths = head.map((_, column) =>
    Math.max(...rows.map((row) => displayWidth(row[column] as string))),
  );
  const lines = rows.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] as number, head[column] as string))
      .join('  ')
      .trimEnd(),
  );
  const reasons = reasonsOf(statuses);
  if (reasons.length > 0) lines.push('', ...reasons);
  return width === undefined ? lines : lines.map((line) => cut(line, width));
}

function rowsOf(
  { name, shared, holders, waiters }: LockStatus | PostgresStatus,
  head: readonly string[],
): string[][] {
  const mode = shared ? 'shared' : 'exclusive';
  const waiting = waiters === undefined ? UNKNOWN : String(waiters);
  if (holders.length === 0) {
    const row = new Array(head.length - 2).fill(UNKNOWN);
    row[head.indexOf('WAITING') - 2] = waiting;
    return [[name, mode, ...row]];
  }
  return holders.map((holder) => [
    name,
    mode,
    ...(isRemote(holder) ? sessionCells(holder, waiting) : cellsOf(holder, waiting)),
  ]);
}

function cellsOf(holder: Holder, waiting: string): string[] {
  const { pid, user, cpuPercent, memoryBytes, argv, executable } = holder;
  return [
    String(pid),
    user === undefined ? UNKNOWN : printable(user),
    heldFor(holder) ?? UNKNOWN,
    cpuPercent === undefined ? UNKNOWN : `${cpuPercent.toFixed(1)}%`,
    memoryBytes === undefined ? UNKNOWN : megabytes(memoryBytes),
    waiting,
    argv !== undefined ? commandOf(argv) : printable(executable ?? UNKNOWN),
  ];
}

function sessionCells(holder: PostgresHolder, waiting: string): string[] {
  const { pid, hostname, token, backendPid, user, clientAddress, applicationName } = holder;
  const session = [backendPid, user, clientAddress, applicationName].filter((part) => part != null);
  return [
    pid === undefined ? UNKNOWN : String(pid),
    printable(hostname ?? UNKNOWN),
    heldFor(holder) ?? UNKNOWN,
    token === undefined ? UNKNOWN : String(token),
    waiting,
    printable(session.join(' ')),
  ];
}

// Each reason once, with the locks that it is about.
function reasonsOf(statuses: readonly (LockStatus | PostgresStatus)[]): string[] {
  const names = new Map<string, string[]>();
  for (const { name, unknown } of statuses) {
    for (const reason of unknown) names.set(reason, [...(names.get(reason) ?? []), name]);
  }
  return [...names].map(([reason, about]) => {
    const more = about.length > 3 ? ` and ${about.length - 3} more` : '';
    return `? ${about.slice(0, 3).join(', ')}${more}: ${printable(reason)}`;
  });
}

function pad(cell: string, width: number, column: string): string {
  const room = ' '.repeat(Math.max(0, width - displayWidth(cell)));
  return NUMBERS.has(column) ? room + cell : cell + room;
}

// Two columns: East Asian wide and full-width characters, and emoji. None: what is put on top of
// the character before. (`printable` has removed whatever would do more than that.)
const WIDE =
  /[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Yi}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const WITHOUT_WIDTH = /\p{M}/u;

const widthOf = (char: string) => (WITHOUT_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1);

/** How many columns of a terminal `text` takes. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += widthOf(char);
  return width;
}

/** `text` in `width` columns at the most, with an ellipsis where something was left out. */
export function cut(text: string, width: number): string {
  // No need to measure a megabyte: each character is a code unit at least.
  if (text.length <= width * 4 && displayWidth(text) <= width) return text;
  let kept = '';
  let left = width - 1;
  for (const char of text) {
    left -= widthOf(char);
    if (left < 0) break;
    kept += char;
  }
  return width > 0 ? `${kept}…` : '';
}
