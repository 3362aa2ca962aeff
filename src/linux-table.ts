// The kernel's lock table, /proc/locks. It is read page by page, by position: an unlock in between
// shifts the rest, and an entry at the border of two pages is in neither. Pages that overlap by half
// can't miss it, and show some twice.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type LockLine, parseLocks } from './proc.js';

/** How much of the table the kernel hands out at once, and consistently; about 76 locks. */
const PAGE = 4096;

/** The entries of each file, and how many pages they took: a single one is not torn. */
export function readTable(): { lines: Map<string, LockLine[]>; pages: number } {
  const pages = readPages(PAGE);
  return { lines: byFile(pages.join('')), pages: pages.length };
}

/** The same in twice the reads: none that was held all the while is missing, some stand there twice. */
export function readTableOverlapping(): Map<string, LockLine[]> {
  return byFile(readPages(PAGE / 2).join('\n'));
}

function readPages(step: number): string[] {
  const page = Buffer.alloc(PAGE);
  const pages: string[] = [];
  const fd = openSync('/proc/locks', 'r');
  try {
    // Containers mask parts of /proc with /dev/null, which looks like a table without a lock.
    if (!fstatSync(fd).isFile()) throw new Error('/proc/locks is masked');
    for (let at = 0; ; ) {
      const size = readSync(fd, page, 0, PAGE, at);
      if (size === 0) return pages;
      pages.push(page.toString('latin1', 0, size));
      at += Math.min(step, size);
    }
  } finally {
    closeSync(fd);
  }
}

function byFile(text: string): Map<string, LockLine[]> {
  const found = new Map<string, LockLine[]>();
  for (const line of parseLocks(text)) {
    const lines = found.get(line.file);
    if (lines === undefined) found.set(line.file, [line]);
    else lines.push(line);
  }
  return found;
}
