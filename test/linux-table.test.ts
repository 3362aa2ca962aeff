// The kernel's lock table is read page by page, while locks come and go.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pagesWithoutGaps } from '../src/linux-table.js';

const PAGE = 4096;
const entry = (inode: number) => `FLOCK  ADVISORY  WRITE ${inode} fe:00:${inode} 0 EOF`;

/** What the kernel hands out: whole lines as far as a page goes, numbered anew each time. */
function read(entries: readonly string[], at: number): string {
  const rest = entries
    .map((text, index) => `${index + 1}: ${text}\n`)
    .join('')
    .slice(at, at + PAGE);
  return rest.slice(0, rest.lastIndexOf('\n') + 1);
}

const missing = (entries: readonly string[], pages: readonly string[]) =>
  entries.filter((text) => !pages.some((page) => page.includes(`${text}\n`)));

describe('pages without gaps', () => {
  test.each([0, 1, 2, 38, 75, 76, 77, 500])('have all of %i entries', (count) => {
    const entries = Array.from({ length: count }, (_, index) => entry(1_000_000 + index));
    const pages = pagesWithoutGaps((at) => read(entries, at));
    expect(missing(entries, pages)).toEqual([]);
    expect(pages.join('').split('\n').length).toBeLessThan(3 * count + 2);
  });

  test('miss none that is there all the while, whoever else comes and goes between the reads', () => {
    const changes = fc.array(
      fc.record({ gone: fc.nat(400), come: fc.nat(60), where: fc.nat(100) }),
    );
    fc.assert(
      fc.property(fc.nat(600), fc.uniqueArray(fc.nat(599)), changes, (count, kept, all) => {
        let entries = Array.from({ length: count }, (_, index) => entry(1_000_000 + index));
        const staying = kept.map((index) => entries[index]).filter((text) => text !== undefined);
        const stays = new Set(staying);
        const left = [...all];
        let next = 2_000_000;
        const pages = pagesWithoutGaps((at) => {
          const page = read(entries, at);
          const change = left.shift();
          if (change !== undefined) {
            let { gone } = change;
            entries = entries.filter((text) => stays.has(text) || gone-- <= 0);
            const come = Array.from({ length: change.come }, () => entry(next++));
            entries.splice(Math.min(change.where, entries.length), 0, ...come);
          }
          return page;
        });
        expect(missing(staying, pages)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
