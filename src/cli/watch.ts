// `list --watch`: on a terminal a view that redraws itself in place, elsewhere what changed.

import { list } from '../inspect.js';
import { printable, printableJson } from '../report.js';
import { endBy } from '../shutdown.js';
import type { LockStatus } from '../types.js';
import type { Call } from './args.js';
import { printLine, warnIfPrivate } from './output.js';
import { cut, table } from './table.js';

/** How often the kernel is asked, in milliseconds. */
const INTERVAL = 1000;
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Goes on until a signal ends it, or until nobody reads what it prints. */
export function watch(call: Call): Promise<number> {
  const output = process.stdout;
  // Nobody reads any more: `kernel-lock list --watch | head -1`.
  output.on('error', () => process.exit(0));
  warnIfPrivate(call);
  return output.isTTY && !call.json ? liveView(call, output) : changes(call);
}

// One document, or one table, each time that others hold or wait.
function changes(call: Call): Promise<number> {
  let last: string | undefined;
  return every(() => {
    const statuses = list(call.location);
    const now = JSON.stringify(statuses.map(steadyPart));
    if (now === last) return;
    if (call.json) printLine(printableJson(statuses));
    else printLine([...(last === undefined ? [] : ['']), ...table(statuses)].join('\n'));
    last = now;
  });
}

// What is another one when somebody acquired, released, or joined or left the line.
function steadyPart({ name, shared, holders, waiters }: LockStatus): unknown {
  return [name, shared, waiters, holders.map(({ pid, acquiredAt }) => [pid, acquiredAt])];
}

const SHOW = '\x1b[?1049h\x1b[?25l'; // the alternate screen, without a cursor
const HIDE = '\x1b[?25h\x1b[?1049l';

function liveView(call: Call, output: NodeJS.WriteStream): Promise<number> {
  const { directory, scope = 'machine' } = call.location;
  const place = directory === undefined ? `scope ${scope}` : printable(directory);
  let entered = false;
  const enter = () => {
    if (!entered) output.write(SHOW);
    entered = true;
  };
  // Once: left twice, the terminal would put the cursor back to where it was at first.
  const leave = () => {
    if (entered) output.write(HIDE);
    entered = false;
  };
  for (const signal of ENDING) {
    process.on(signal, () => {
      leave();
      endBy(signal);
    });
  }
  // Ctrl-Z and fg; the next turn draws.
  process.on('SIGTSTP', () => {
    leave();
    process.kill(process.pid, 'SIGSTOP');
  });
  process.on('SIGCONT', enter);
  process.on('exit', leave);

  let statuses: LockStatus[] = [];
  const draw = () => output.write(frame(statuses, place, output.columns || 80, output.rows || 24));
  output.on('resize', draw);
  return every(() => {
    statuses = list(call.location);
    enter();
    draw();
  }).finally(leave);
}

// What fills the terminal, over what was there before. A line is erased first: after one that
// reaches the last column, that would take its last character away.
function frame(
  statuses: readonly LockStatus[],
  place: string,
  columns: number,
  rows: number,
): string {
  const time = new Date().toTimeString().slice(0, 8);
  const held = statuses.length === 1 ? '1 lock' : `${statuses.length} locks`;
  const lines = [
    cut(`${time}  ${held} held in ${place}  (Ctrl-C ends)`, columns),
    '',
    ...table(statuses, columns),
  ];
  const shown =
    lines.length <= rows
      ? lines
      : [...lines.slice(0, rows - 1), cut(`… ${lines.length - rows + 1} more lines`, columns)];
  return `\x1b[H${shown.map((line) => `\x1b[K${line}`).join('\r\n')}\x1b[J`;
}

// Never resolves, and keeps the process alive; rejects with what `look` throws.
function every(look: () => void): Promise<number> {
  return new Promise((_, reject) => {
    const turn = () => {
      try {
        look();
      } catch (error) {
        clearInterval(timer);
        reject(error);
      }
    };
    const timer = setInterval(turn, INTERVAL);
    turn();
  });
}
