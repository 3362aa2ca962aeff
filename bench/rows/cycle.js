import { lockPath } from 'kernel-lock';
import {
  FLOOR,
  LOCK,
  LOCK_SYNC,
  labelOf,
  PEERS,
  presentPeers,
  startContestant,
  TRY_LOCK,
} from '../lib/contestants.js';
import { median, p99, Rounds } from '../lib/stats.js';
import { atLeast, atMost } from '../lib/verdict.js';

const BATCH = 20;
const PASS_MS = 50;

export const cycle = {
  id: 'cycle',
  title: 'Acquire and release one free name',
  unit: 'µs',
  measures:
    'One acquisition and release, the lock file being there. Median and ratio: of batches of ' +
    `${BATCH}, all contestants in turn, several rounds; p99: of single ones. kernel-lock and the ` +
    'floor write the owner record; no peer writes one.',

  async run(bench) {
    const skipped = [];
    const peers = presentPeers(bench, skipped);
    const ids = [FLOOR, LOCK_SYNC, TRY_LOCK, LOCK, ...peers.map(({ id }) => id)];
    const actors = ids.map((id, i) => startContestant(bench, id, pathFor(bench, id, i)));
    const batches = new Rounds();
    const singles = new Rounds();
    for (const actor of actors) await actor.ask(`cycle ${bench.short ? 100 : 400} ${BATCH}`); // warm up
    for (let round = 0; round < (bench.short ? 5 : 15); round++) {
      for (const [i, actor] of actors.entries()) {
        batches.add(ids[i], await actor.ask(`cycle ${PASS_MS} ${BATCH}`));
        singles.add(ids[i], await actor.ask(`cycle ${PASS_MS} 1`));
      }
    }
    for (const actor of actors) await actor.end();

    const lines = ids.map((id) => ({
      who: labelOf(bench, id),
      samples: batches.all(id).length,
      median: median(batches.all(id)) / 1000,
      p99: p99(singles.all(id)) / 1000,
      ratio: batches.ratio(id, FLOOR),
    }));
    const verdicts = [
      atMost('lockSync against the floor', batches.ratio(LOCK_SYNC, FLOOR), '×', 1.5, 2.5),
      atMost('tryLock against the floor', batches.ratio(TRY_LOCK, FLOOR), '×', 1.5, 2.5),
      atMost(
        'lock more than lockSync',
        batches.difference(LOCK, LOCK_SYNC) / 1000,
        'µs',
        3,
        undefined,
      ),
      atMost('lock against lockSync', batches.ratio(LOCK, LOCK_SYNC), '×', undefined, 3),
    ];
    for (const id of ['proper-lockfile sync', 'proper-lockfile']) {
      if (!ids.includes(id)) continue;
      verdicts.push(atLeast(`${id} against lockSync`, batches.ratio(id, LOCK_SYNC), '×', 15, 5));
    }
    return { lines, verdicts, skipped };
  },
};

// The floor and kernel-lock where `lock(name)` puts the file; a peer has a file of its own.
function pathFor(bench, id, i) {
  if (PEERS.some((peer) => peer.id === id)) return bench.scratch.file(`cycle-${i}`);
  return lockPath(bench.scratch.machineName(`cycle-${i}`));
}
