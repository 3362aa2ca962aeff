// The kernel's lock table is read page by page, while locks come and go.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pagesWithoutGaps } from '../src/linux-table.js';

interface Lock {
  inode: number;
  waiters: number;
}

const lockLine = (inode: number) => `FLOCK  ADVISORY  WRITE ${inode} fe:00:${inode} 0 EOF`;

/**
 * What the kernel does for a read at a position (fs/seq_file.c): it counts to there, lets others do
 * something, and goes on with the number it has come to. An entry has the lines of those who wait, and
 * the buffer grows where one does not fit.
 */
class Table {
  #buffer = 4096;

  constructor(
    public locks: Lock[],
    readonly meanwhile: () => void = () => {},
  ) {}

  read(at: number): string {
    const { index, rest } = this.#find(at);
    this.meanwhile();
    let page = '';
    for (let next = index; next < this.locks.length; next++) {
      const entry = this.#entry(next);
      if (page === '') this.#fit(entry);
      if (page.length + entry.length >= this.#buffer) break;
      page += entry;
    }
    this.meanwhile();
    return rest + page;
  }

  #find(at: number): { index: number; rest: string } {
    let position = 0;
    let index = 0;
    for (; position < at && index < this.locks.length; index++) {
      const entry = this.#entry(index);
      this.#fit(entry);
      position += entry.length;
      if (position > at) return { index: index + 1, rest: entry.slice(at - position) };
    }
    return { index, rest: '' };
  }

  #fit(entry: string): void {
    while (entry.length >= this.#buffer) this.#buffer *= 2;
  }

  #entry(index: number): string {
    const { inode, waiters } = this.locks[index] as Lock;
    const lines = [lockLine(inode), ...Array(waiters).fill(` -> ${lockLine(inode)}`)];
    return lines.map((line) => `${index + 1}: ${line}\n`).join('');
  }
}

const missing = (locks: readonly Lock[], pages: readonly string[]) =>
  locks.filter(({ inode }) => !pages.some((page) => page.includes(`: ${lockLine(inode)}\n`)));

const many = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ inode: 1_000_000 + index, waiters: 0 }));

describe('pages without gaps', () => {
  test.each([0, 1, 2, 3, 38, 75, 76, 77, 500])('have all of %i entries', (count) => {
    const table = new Table(many(count));
    const pages = pagesWithoutGaps((at) => table.read(at));
    expect(missing(table.locks, pages)).toEqual([]);
    expect(pages.join('').split('\n').length).toBeLessThan(3 * count + 4);
  });

  test('have what stands behind an entry that is longer than a page, at any place and of any length', () => {
    const place = fc.nat(120);
    fc.assert(
      fc.property(place, fc.nat(300), place, fc.nat(300), (first, waiters, second, others) => {
        const locks = many(121);
        (locks[first] as Lock).waiters = waiters;
        (locks[second] as Lock).waiters = others;
        const table = new Table(locks);
        expect(
          missing(
            locks,
            pagesWithoutGaps((at) => table.read(at)),
          ),
        ).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('have one that followed too long for the first page, and moved forward before the second', () => {
    const [stays, goes] = many(2) as [Lock, Lock];
    const states: [number, Lock[]][] = [
      [0, [stays]],
      [0, [stays]],
      [0, [goes, stays]],
      [0, [goes, stays]],
      [69, [goes, stays]],
      [0, [stays]],
    ];
    const table: Table = new Table([stays], () => {
      const state = states.shift();
      if (state === undefined) return;
      [stays.waiters, table.locks] = state;
    });
    expect(
      missing(
        [stays],
        pagesWithoutGaps((at) => table.read(at)),
      ),
    ).toEqual([]);
  });

  test('miss none that is there all the while, whoever else comes and goes', () => {
    const changes = fc.array(
      fc.record({ gone: fc.nat(400), come: fc.nat(60), where: fc.nat(100), waiters: fc.nat(70) }),
    );
    fc.assert(
      fc.property(fc.nat(600), fc.uniqueArray(fc.nat(599)), changes, (count, kept, all) => {
        const staying = many(count).filter((_, index) => kept.includes(index));
        const stays = new Set(staying.map(({ inode }) => inode));
        const left = [...all];
        let inode = 2_000_000;
        const table = new Table(many(count), () => {
          const change = left.shift();
          if (change === undefined) return;
          let { gone } = change;
          table.locks = table.locks.filter((lock) => stays.has(lock.inode) || gone-- <= 0);
          const come = Array.from({ length: change.come }, () => ({ inode: inode++, waiters: 0 }));
          table.locks.splice(Math.min(change.where, table.locks.length), 0, ...come);
          const crowded = table.locks[change.where];
          if (crowded !== undefined) crowded.waiters = change.waiters;
        });
        const pages = pagesWithoutGaps((at) => table.read(at));
        expect(missing(staying, pages)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('are given up where the table is another one each time', () => {
    let inode = 1_000_000;
    const anew = () => {
      table.locks = Array.from({ length: 200 }, () => ({ inode: inode++, waiters: 0 }));
    };
    const table: Table = new Table([], anew);
    expect(() => pagesWithoutGaps((at) => table.read(at))).toThrow('changes all the time');
  });
});
