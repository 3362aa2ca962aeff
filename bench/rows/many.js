import { Actor } from '../lib/children.js';
import { startOwn } from '../lib/contestants.js';
import { median, Rounds } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';

const FEW = 100;
const MANY = 10_000;

export const many = {
  id: 'many',
  title: '10,000 locks held by one process',
  unit: 'µs',
  measures:
    'Acquiring all names and then releasing all, per lock, with 10,000 names and with 100; the ' +
    'files are there; timed by the hundred, with more than half of all held. Memory: ' +
    "what the locks after the 100th add to the process, the floor's " +
    'share (nothing but descriptors) subtracted. What the kernel keeps for an open file and its ' +
    'lock is in no process and not counted.',

  async run(bench) {
    const floors = [FEW, MANY].map(
      (count) => new Actor(bench.floor, ['many', bench.scratch.directory(), String(count)]),
    );
    const owns = [FEW, MANY].map(() => startOwn(bench.scratch.directory()));
    const memory = await owns[1].ask(`memory ${MANY}`);
    const floorMemory = await floors[1].ask('many');
    await owns[0].ask(`memory ${FEW + 1}`); // warms up as the other one was
    const rounds = new Rounds();
    for (let round = 0; round < (bench.short ? 3 : 12); round++) {
      const few = { own: [], floor: [] };
      for (let i = 0; i < 50; i++) {
        few.own.push(...(await owns[0].ask(`many ${FEW}`)).samples);
        few.floor.push(...(await floors[0].ask('many')).samples);
      }
      rounds.add('own few', few.own);
      rounds.add('floor few', few.floor);
      rounds.add('own many', (await owns[1].ask(`many ${MANY}`)).samples);
      rounds.add('floor many', (await floors[1].ask('many')).samples);
    }
    for (const actor of [...floors, ...owns]) await actor.end();

    const figure = (who, id, base) => ({
      who,
      samples: rounds.all(id).length,
      median: median(rounds.all(id)) / 1000,
      ratio: rounds.ratio(id, base),
    });
    const resident = memory.resident - floorMemory.resident;
    return {
      lines: [
        figure(`kernel-lock, ${FEW}`, 'own few', 'own few'),
        figure(`kernel-lock, ${MANY}`, 'own many', 'own few'),
        figure(`C floor, ${FEW}`, 'floor few', 'floor few'),
        figure(`C floor, ${MANY}`, 'floor many', 'floor few'),
        { who: 'resident memory of a lock', median: resident, unit: 'bytes' },
        { who: "of it in JavaScript's heap", median: memory.heap, unit: 'bytes' },
      ],
      verdicts: [
        atMost('time at 10,000 against 100', rounds.ratio('own many', 'own few'), '×', 1.2, 3),
        atMost('memory of a lock', resident, 'bytes', 1024, 4096),
      ],
      skipped: [],
    };
  },
};
