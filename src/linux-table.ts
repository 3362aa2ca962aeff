// The kernel's lock table, /proc/locks. It is read page by page, by position: an unlock in between
// shifts the rest, and an entry at the border of two pages is in neither.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type LockLine, parseLocks } from './proc.js';

/** How much of the table the kernel hands out at once, and consistently; about 76 locks. */
const PAGE = 4096;
const HALF = PAGE / 2;
/** More than that comes at once where many wait for one lock: with them, an entry has to fit. */
const MOST_BYTES = 2 ** 20;
/** So many reads in vain, and the table is given up. */
const MOST_IN_VAIN = 1000;

/** The entries of each file. One that was held all the while may be missing. */
export function readTable(): Map<string, LockLine[]> {
  return byFile(reading(pagesInTurn).join(''));
}

/** The same in twice the reads, without that; some stand there twice. */
export function readTableOverlapping(): Map<string, LockLine[]> {
  return byFile(reading(pagesWithoutGaps).join('\n'));
}

/** What the kernel hands out from a position on, as latin1: nothing after the end. */
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
 * Each page has an entry in common with the one before: they keep their order, so that nothing is
 * missing between the two. Where they have none, as many as that may have gone meanwhile, and the
 * rest moved forward: it is read from further ahead. (Only an entry that goes, and comes back at
 * another place between two reads, can deceive this.) Throws where the table changes without end.
 */
export function pagesWithoutGaps(read: Read): string[] {
  const pages: string[] = [];
  let before: Set<string> | undefined;
  let ahead: string | undefined;
  let grown: number | undefined;
  let vain = 0;
  for (let at = 0; ; ) {
    if (vain > MOST_IN_VAIN) throw new Error('/proc/locks changes all the time');
    const page: string = ahead ?? read(at);
    ahead = undefined;
    const entries = entriesOf(page);
    if (before !== undefined && !entries.some(({ known }) => before?.has(known))) {
      vain++;
      at = Math.max(0, at - HALF);
      if (at > 0) continue;
      before = undefined;
      pages.length = 0;
      continue;
    }
    // In the middle, with another one behind it.
    const inner = entries.slice(1, -1);
    let next = inner.filter(({ start }) => start <= HALF).at(-1) ?? inner[0];
    if (next === undefined) {
      // The end, unless an entry follows that is longer than the rest of the kernel's buffer, because
      // many wait for its lock. Such a one is met here, and makes the buffer grow.
      const isShort = page.length <= HALF;
      if (isShort && read(at + page.length) === '') {
        if (read(at) === page) return [...pages, page];
        vain++; // what followed may have moved forward
        continue;
      }
      if (isShort && grown !== at) {
        grown = at;
        continue;
      }
      next = entries[1];
    }
    if (next === undefined) {
      // A long one that nothing else fits in with: what follows it is read while it stands still.
      ahead = read(at + page.length);
      if (read(at) !== page) {
        vain++;
        ahead = undefined;
        continue;
      }
    }
    pages.push(page);
    before = next && new Set(entries.flatMap(({ line, text }) => [line, text]));
    at += next?.start ?? page.length;
  }
}

interface Entry {
  /** Where it begins in its page. */
  start: number;
  line: string;
  /** Without its number, which changes when one before it goes. */
  text: string;
  /** What tells that it was there before. A page may begin in the middle of an entry, and of a number. */
  known: string;
}

// Without those who wait, whose lines follow that of the lock.
function entriesOf(page: string): Entry[] {
  return [...page.matchAll(/^\d+: ([^ -].*)\n/gm)].map(
    ({ 0: line, 1: text = '', index: start }) => ({
      start,
      line,
      text,
      known: start === 0 ? line : text,
    }),
  );
}

function reading(pagesOf: (read: Read) => string[]): string[] {
  const buffer = Buffer.allocUnsafeSlow(MOST_BYTES);
  const fd = openSync('/proc/locks', 'r');
  try {
    // Containers mask parts of /proc with /dev/null, which looks like a table without a lock.
    if (!fstatSync(fd).isFile()) throw new Error('/proc/locks is masked');
    return pagesOf((at) => buffer.toString('latin1', 0, readSync(fd, buffer, 0, MOST_BYTES, at)));
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
