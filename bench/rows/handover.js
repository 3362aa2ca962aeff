import { setTimeout as sleep } from 'node:timers/promises';
import {
  FLOOR,
  LOCK,
  LOCK_SYNC,
  labelOf,
  presentPeers,
  startContestant,
} from '../lib/contestants.js';
import { median, p99, Rounds } from '../lib/stats.js';
import { atLeast, atMost } from '../lib/verdict.js';

// How often a peer that polls looks, in milliseconds: the release comes at any point between.
const POLLS = { 'proper-lockfile': 1000, 'Python filelock': 50 };
const SETTLE_MS = 4;

export const handover = {
  id: 'hand-over',
  title: 'Hand-over between two processes',
  unit: 'µs',
  measures:
    'From just before the release in one process to the first statement after the acquisition in ' +
    'the other, which has been waiting; both processes, and the bench, are asleep until then. ' +
    'Peers that poll (proper-lockfile, with its default intervals, and Python filelock) are ' +
    'released at a random moment of their interval.',

  async run(bench) {
    const skipped = [];
    const peers = presentPeers(bench, skipped)
      .map(({ id }) => id)
      .filter((id) => id !== 'proper-lockfile sync'); // it can't wait
    const ids = [FLOOR, LOCK, LOCK_SYNC, ...peers];
    const pairs = [];
    for (const [i, id] of ids.entries()) pairs.push(await Pair.start(bench, id, i));
    const rounds = new Rounds();
    for (const pair of pairs) await pair.handOver(); // warm up
    for (let round = 0; round < (bench.short ? 4 : 10); round++) {
      for (const [i, pair] of pairs.entries()) {
        const samples = [];
        const count = ids[i] in POLLS ? (POLLS[ids[i]] > 500 ? 2 : 8) : 25;
        while (samples.length < count) samples.push(await pair.handOver());
        rounds.add(ids[i], samples);
      }
    }
    for (const pair of pairs) await pair.end();

    const lines = ids.map((id) => ({
      who: labelOf(bench, id),
      samples: rounds.all(id).length,
      median: median(rounds.all(id)) / 1000,
      p99: p99(rounds.all(id)) / 1000,
      ratio: median(rounds.all(id)) / median(rounds.all(FLOOR)),
    }));
    const own = median(rounds.all(LOCK));
    const verdicts = [
      atMost('lock, p50 against the floor', own / median(rounds.all(FLOOR)), '×', 4, 10),
      ...peers.map((id) =>
        atLeast(`${id}, p50 against lock`, median(rounds.all(id)) / own, '×', 1, 0.5),
      ),
    ];
    return { lines, verdicts, skipped };
  },
};

/** Two processes that pass one lock to and fro. */
class Pair {
  static async start(bench, id, i) {
    const path = bench.scratch.file(`hand-over-${i}.lock`);
    const pair = new Pair();
    pair.interval = POLLS[id] ?? 0;
    pair.holder = startContestant(bench, id, path);
    pair.waiter = startContestant(bench, id, path);
    await pair.holder.ask('wait');
    await pair.holder.next();
    return pair;
  }

  async handOver() {
    const { holder, waiter } = this;
    await waiter.ask('wait');
    await sleep(SETTLE_MS + Math.random() * this.interval);
    holder.tell('release');
    const { at: acquired } = await waiter.next();
    const { at: released } = await holder.next();
    this.holder = waiter;
    this.waiter = holder;
    return acquired - released;
  }

  async end() {
    await this.holder.end();
    await this.waiter.end();
  }
}
