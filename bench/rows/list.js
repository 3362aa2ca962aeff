import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { list as listLocks } from 'kernel-lock';
import { Bystander } from '../lib/children.js';
import { median, p99 } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';

const SHARE_HELD = 25; // one lock of so many
const FEW = 1000;
const MANY = 5000;

export const list = {
  id: 'list',
  title: 'list() of a directory',
  unit: 'ms',
  measures:
    'All held locks with their holders, of 5,000 lock files of which 200 are held, each by a process ' +
    'of its own (flock -F), and of 1,000 of which 40 are; and of 5,000 of which none is.',

  async run(bench) {
    const figures = [];
    const took = {};
    for (const [files, held] of [
      [FEW, FEW / SHARE_HELD],
      [MANY, MANY / SHARE_HELD],
      [MANY, 0],
    ]) {
      const directory = bench.scratch.directory();
      const path = (index) => join(directory, `n${index}.lock`);
      for (let i = 0; i < files; i++) writeFileSync(path(i), '');
      const holders = Array.from(
        { length: held },
        (_, i) => new Bystander('flock', ['-F', path(i * SHARE_HELD), 'sleep', '600']),
      );
      try {
        while (listLocks({ directory }).length < held) await sleep(10);
        const samples = [];
        for (let round = 0; round < (bench.short ? 20 : 100); round++) {
          const start = performance.now();
          listLocks({ directory });
          samples.push(performance.now() - start);
        }
        took[`${files} ${held}`] = median(samples);
        figures.push({
          who: `${files.toLocaleString('en')} files, ${held} held`,
          samples: samples.length,
          median: median(samples),
          p99: p99(samples),
        });
      } finally {
        await Promise.all(holders.map((holder) => holder.end()));
      }
    }
    const [few, many] = [took[`${FEW} ${FEW / SHARE_HELD}`], took[`${MANY} ${MANY / SHARE_HELD}`]];
    const perFile = many / MANY / (few / FEW);
    return {
      lines: figures,
      verdicts: [
        atMost('list of 5,000 files, 200 held', many, 'ms', 100, 1000),
        atMost('per file, 5,000 against 1,000', perFile, '×', 1.2, 3),
      ],
      skipped: [],
    };
  },
};
