import { execFileSync } from 'node:child_process';
import { timeCommand } from '../lib/children.js';
import { actorFile } from '../lib/contestants.js';
import { median, p99, Rounds } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';

export const startup = {
  id: 'import',
  title: 'Importing the package',
  unit: 'ms',
  measures:
    'Whole processes, in turn: a module that imports nothing, one that imports the package, and ' +
    'one that acquires a lock with it (which loads the native part). Heap: in use after the ' +
    'import, after garbage collection, less what was before.',

  async run(bench) {
    const directory = bench.scratch.directory();
    const programs = {
      'empty module': [actorFile('empty.js')],
      'import of kernel-lock': [actorFile('import.js')],
      'import and one tryLock': [actorFile('acquire.js'), 'one', directory],
    };
    const rounds = new Rounds();
    for (let round = 0; round < (bench.short ? 12 : 50); round++) {
      for (const [id, args] of Object.entries(programs)) {
        const time = timeCommand(process.execPath, args);
        if (round > 1) rounds.add(id, [time]);
      }
    }
    const inside = Array.from({ length: bench.short ? 3 : 9 }, () =>
      JSON.parse(execFileSync(process.execPath, ['--expose-gc', actorFile('import-heap.js')])),
    );
    const base = 'empty module';
    const lines = Object.keys(programs).map((id) => ({
      who: id,
      samples: rounds.all(id).length,
      median: median(rounds.all(id)) / 1e6,
      p99: p99(rounds.all(id)) / 1e6,
      ratio: rounds.ratio(id, base),
    }));
    const heap = median(inside.map((one) => one.heap)) / 1024;
    lines.push(
      { who: 'import(), seen from inside', median: median(inside.map((i) => i.nanoseconds)) / 1e6 },
      { who: 'heap', median: heap, unit: 'KiB' },
    );
    const ratio = rounds.ratio('import of kernel-lock', base);
    const more = rounds.difference('import of kernel-lock', base) / 1e6;
    return {
      lines,
      verdicts: [
        atMost('import, more than an empty module', more, 'ms', 5, undefined),
        atMost('import against an empty module', ratio, '×', undefined, 2),
        atMost('heap', heap, 'KiB', 1024, 2048),
      ],
      skipped: [],
    };
  },
};
