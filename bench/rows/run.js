import { join } from 'node:path';
import { timeCommand } from '../lib/children.js';
import { median, p99, Rounds } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';

export const COMMAND = join(import.meta.dirname, '..', '..', 'dist', 'cli.js');
const OWN = 'kernel-lock run X -- true';
const BARE = 'node -e 0';

export const run = {
  id: 'run',
  title: 'Starting a program under a lock',
  unit: 'ms',
  measures: 'Whole processes from start to end, in turn, several rounds.',

  async run(bench) {
    const directory = bench.scratch.directory();
    const rounds = new Rounds();
    for (let round = 0; round < (bench.short ? 12 : 50); round++) {
      const bare = timeCommand(process.execPath, ['-e', '0']);
      const own = timeCommand(COMMAND, ['run', 'X', '--directory', directory, '--', 'true']);
      const flock = timeCommand('flock', ['-n', join(directory, 'flock'), 'true']);
      if (round < 2) continue; // warm up
      rounds.add(BARE, [bare]);
      rounds.add(OWN, [own]);
      rounds.add('flock -n X true', [flock]);
    }
    const lines = [BARE, OWN, 'flock -n X true'].map((id) => ({
      who: id,
      samples: rounds.all(id).length,
      median: median(rounds.all(id)) / 1e6,
      p99: p99(rounds.all(id)) / 1e6,
      ratio: rounds.ratio(id, BARE),
    }));
    const verdicts = [atMost(`${OWN} against ${BARE}`, rounds.ratio(OWN, BARE), '×', 1.25, 2)];
    return { lines, verdicts, skipped: [] };
  },
};
