import { setTimeout as sleep } from 'node:timers/promises';
import { Actor } from '../lib/children.js';
import { FLOOR, startContestant, startOwn } from '../lib/contestants.js';
import { waitersOn } from '../lib/kernel.js';
import { median, p99 } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';

const QUIET_MS = 30;
// Later turns have fewer waiters behind them, and no more to say about many.
const COUNTED_TURNS = 10;

export const waiters = {
  id: 'waiters',
  title: 'Hand-over with 10, 100 and 1,000 waiters',
  unit: 'µs',
  measures:
    'All wait for one name; then each gets it in turn and gives it back at once. The first ten ' +
    'turns of a round count, in which that many wait. One process: all ' +
    'waits in one Node process. Node processes: each waits in its own. Among C processes: two ' +
    'Node processes wait first and all others, C floors, behind them; the hand-over to Node and ' +
    'from Node to Node is counted. C processes: the floor alone. The ratio is to the same with 10.',

  async run(bench) {
    const rounds = bench.short ? 8 : 30;
    const lines = [];
    const verdicts = [];
    const kinds = [
      { who: 'one process', counts: [10, 100, 1000], measure: inOneProcess, judged: true },
      { who: 'Node processes', counts: bench.short ? [] : [10, 100], measure: inNodeProcesses },
      { who: 'among C processes', counts: [10, 100, 1000], measure: amongFloors, judged: true },
      { who: 'C processes', counts: [10, 100, 1000], measure: amongFloors, floorOnly: true },
    ];
    const mostWaiters = new Map();
    for (const kind of kinds) {
      let first;
      for (const count of kind.counts) {
        const samples = await kind.measure(bench, count, rounds, kind);
        const middle = median(samples);
        first ??= middle;
        mostWaiters.set(kind.who, middle);
        lines.push({
          who: `${kind.who}, ${count}`,
          samples: samples.length,
          median: middle / 1000,
          p99: p99(samples) / 1000,
          ratio: middle / first,
        });
        if (count === 1000 && !kind.floorOnly) {
          // In one process, whether a lock is given back before the next one is asked for makes a
          // difference of four times by itself, which the short form can't average out.
          const short = kind.measure === inOneProcess ? undefined : 4;
          verdicts.push(atMost(`${kind.who}, 1,000 against 10`, middle / first, '×', 1.5, short));
        }
        if (count === 100 && kind.measure === inNodeProcesses) {
          verdicts.push(atMost(`${kind.who}, 100 against 10`, middle / first, '×', 1.5, 4));
        }
      }
    }
    const ratio = mostWaiters.get('one process') / mostWaiters.get('C processes');
    verdicts.push(atMost('one process against C processes, 1,000', ratio, '×', undefined, 10));
    return { lines, verdicts, skipped: [] };
  },
};

/** One round: `queue` lines the waiters up behind the holder, `report` collects their turns. */
async function measureRounds(bench, directory, times, blocked, queue, report) {
  const path = `${directory}/turn.lock`;
  const gate = startContestant(bench, FLOOR, path);
  const samples = [];
  for (let round = 0; round < times; round++) {
    await gate.ask('wait');
    await gate.next();
    await queue(path);
    while (waitersOn(path) < blocked) await sleep(5);
    await sleep(QUIET_MS);
    gate.tell('release');
    await sleep(QUIET_MS + blocked / 4);
    const turns = await report();
    const { at } = await gate.next();
    if (round > 0) samples.push(...gaps(at, turns)); // the first one warms up
  }
  await gate.end();
  return samples;
}

/** From each release to the next acquisition, where that one's turn is `counted`. */
function gaps(released, turns) {
  const samples = [];
  let before = released;
  const inOrder = turns.sort(([a], [b]) => a - b).slice(0, COUNTED_TURNS);
  for (const [acquired, given, counted = true] of inOrder) {
    if (counted) samples.push(acquired - before);
    before = given;
  }
  return samples;
}

async function inOneProcess(bench, count, times) {
  const directory = bench.scratch.directory();
  const actor = startOwn(directory);
  const queue = () => actor.ask(`queue ${count}`);
  const report = () => actor.ask('report');
  const samples = await measureRounds(bench, directory, times, 1, queue, report);
  await actor.end();
  return samples;
}

async function inNodeProcesses(bench, count, times) {
  const directory = bench.scratch.directory();
  const actors = Array.from({ length: count }, () => startOwn(directory));
  const queue = () => Promise.all(actors.map((actor) => actor.ask('queue 1')));
  const report = async () => (await Promise.all(actors.map((a) => a.ask('report')))).flat();
  const samples = await measureRounds(bench, directory, times, count, queue, report);
  await Promise.all(actors.map((actor) => actor.end()));
  return samples;
}

async function amongFloors(bench, count, times, { floorOnly = false }) {
  const directory = bench.scratch.directory();
  const crowdSize = floorOnly ? count : count - 2;
  const crowd = new Actor(bench.floor, ['crowd', `${directory}/turn.lock`, String(crowdSize)]);
  const own = floorOnly ? [] : [startOwn(directory), startOwn(directory)];
  const queue = async (path) => {
    for (const [i, actor] of own.entries()) {
      await actor.ask('queue 1');
      while (waitersOn(path) <= i) await sleep(1);
    }
    await crowd.ask('queue');
  };
  const report = async () => {
    const turns = [];
    for (const actor of own) turns.push(...(await actor.ask('report')));
    const others = await crowd.ask('report');
    return [...turns, ...others.map(([a, r]) => [a, r, floorOnly])];
  };
  const samples = await measureRounds(bench, directory, times, count, queue, report);
  for (const actor of own) await actor.end();
  await crowd.end();
  return samples;
}
