// The kernel's lock table, /proc/locks. It is read page by page, by position: an unlock in between
// shifts the rest, and an entry at the border of two pages is in neither.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type LockLine, parseLocks } from './proc.js';

/** How much of the table the kernel hands out at once, and consistently; about 76 locks. */
const PAGE = 4096;

/** The entries of each file. One that was held all the while may be missing. */
export function readTable(): Map<string, LockLine[]> {
  return byFile(reading(pagesInTurn).join(''));
}

/** The same in twice the reads, without that; some stand there twice. */
export function readTableOverlapping(): Map<string, LockLine[]> {
  return byFile(reading(pagesWithoutGaps).join('\n'));
}

/** What `read` hands out from a position on: a page at the most, as latin1; nothing after the end. */
type Read = (at: number) => string;

function pagesInTurn(read: Read): string[] {
  const pages: string[] = [];
  for (let at = 0; ; ) {
    const page = read(at);
    if (page === '') return pages;
    pages.push(page);
    at += page.length;
  }
}

/**
 * Each page begins with entries of the one before. Entries keep their order, so that nothing is
 * missing between two pages that have one in common. Where they have none, as many as that may have
 * gone meanwhile, and the rest moved forward: it is read from further ahead.
 */
export function pagesWithoutGaps(read: Read): string[] {
  const pages: string[] = [];
  let before: Set<string> | undefined;
  for (let at = 0; ; ) {
    const page = read(at);
    const entries = entriesOf(page);
    if (before !== undefined && !entries.some((entry) => before?.has(entry))) {
      at = Math.max(0, at - PAGE / 2);
      if (at === 0) before = undefined;
      continue;
    }
    pages.push(page);
    // Where an entry begins: in the middle, or the last one.
    const next = page.lastIndexOf('\n', Math.min(PAGE / 2, page.length - 2)) + 1;
    if (next > 0) {
      before = new Set(entries);
      at += next;
      continue;
    }
    // It is alone: the last one of all, unless more wait for the next lock than a page has room for.
    if (page === '' || read(at + page.length) === '') return pages;
    before = undefined;
    at += page.length;
  }
}

// Without the numbers, which change when an entry goes.
function entriesOf(page: string): string[] {
  return page
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^\d+: /, ''));
}

function reading(pagesOf: (read: Read) => string[]): string[] {
  const buffer = Buffer.alloc(PAGE);
  const fd = openSync('/proc/locks', 'r');
  try {
    // Containers mask parts of /proc with /dev/null, which looks like a table without a lock.
    if (!fstatSync(fd).isFile()) throw new Error('/proc/locks is masked');
    return pagesOf((at) => buffer.toString('latin1', 0, readSync(fd, buffer, 0, PAGE, at)));
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
