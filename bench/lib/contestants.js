// Who runs: how each contestant is started, and which of them can be.
import { join } from 'node:path';
import { Actor } from './children.js';

const ACTORS = join(import.meta.dirname, '..', 'actors');

export const FLOOR = 'C floor';
export const LOCK_SYNC = 'kernel-lock lockSync';
export const TRY_LOCK = 'kernel-lock tryLock';
export const LOCK = 'kernel-lock lock';

export const PEERS = [
  { id: 'fs-native-extensions', peer: 'fs-native-extensions' },
  { id: 'fs-ext', peer: 'fs-ext' },
  { id: 'proper-lockfile sync', peer: 'proper-lockfile' },
  { id: 'proper-lockfile', peer: 'proper-lockfile' },
  { id: 'Python filelock', peer: 'filelock' },
];

/** Those of `PEERS` that can run; the others get a line in `skipped`. */
export function presentPeers(bench, skipped) {
  return PEERS.filter(({ id, peer }) => {
    const found = bench.peers.get(peer);
    if (found?.version !== undefined) return true;
    skipped.push(`${id}: not run, ${found?.missing ?? 'peers were not asked for'}`);
    return false;
  });
}

export function startContestant(bench, id, path) {
  if (id === FLOOR) return new Actor(bench.floor, ['serve', path]);
  if (id === 'Python filelock') {
    const { python } = bench.peers.get('filelock');
    return new Actor(python, [join(ACTORS, 'filelock_locker.py'), path]);
  }
  return new Actor(process.execPath, [join(ACTORS, 'locker.js'), id, path]);
}

/** A process of kernel-lock with the verbs of actors/own.js. */
export function startOwn(directory) {
  return new Actor(process.execPath, ['--expose-gc', join(ACTORS, 'own.js'), directory]);
}

export function labelOf(bench, id) {
  const found = bench.peers.get(PEERS.find((peer) => peer.id === id)?.peer);
  return found === undefined ? id : `${id} ${found.version}`;
}

export const actorFile = (name) => join(ACTORS, name);
