// One that does to lock files what nobody should: it deletes, renames and replaces them. It holds
// the lock while it does, so that nobody else is inside, and whoever waits waits for a file that is
// not there any more. It also kills holders through the package, and fills the disk.
import { closeSync, copyFileSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { random } from './random.js';

const { locks, library, names, seed, fullDisk } = JSON.parse(process.argv[2]);
const { lock, lockPath, killRunning, LockError } = await import(library);
const chance = random(seed);
const options = { directory: locks };
const PATIENCE = 20;

let stopping = false;
process.on('message', () => {
  stopping = true;
});
process.send({ ready: true });
const count = (kind) => process.send({ counted: { [kind]: 1 } });
while (!stopping) {
  const name = chance.pick(names);
  try {
    const kind = chance.next();
    if (kind < 0.05) await kill(name);
    else if (kind < 0.1 && fullDisk) await fill();
    else await spoil(name);
  } catch (error) {
    // Of ours it is positive, of Node.js' negative.
    if (!fullDisk || Math.abs(error.errno) !== constants.errno.ENOSPC) throw error;
  }
  await new Promise((next) => setTimeout(next, chance.below(10)));
}
process.disconnect();

async function spoil(name) {
  const path = lockPath(name, options);
  const held = await unless(['LOCK_TIMEOUT'], lock(name, { ...options, wait: PATIENCE }));
  if (held === undefined) return;
  try {
    const kind = chance.below(3);
    if (kind === 0) {
      unlinkSync(path);
      count('deleted');
    } else if (kind === 1) {
      renameSync(path, join(locks, `moved-${chance.below(5)}`));
      count('renamed');
    } else {
      const other = join(locks, 'other');
      copyFileSync(path, other);
      renameSync(other, path);
      count('replaced');
    }
    // Others make the file anew, and are inside, while this one still holds the old one.
    if (chance.chance(0.5)) await new Promise((next) => setTimeout(next, chance.below(5)));
  } finally {
    held.release();
  }
}

async function kill(name) {
  const force = chance.chance(0.5);
  const killing = killRunning(name, { ...options, force, timeout: 1000 });
  // One that is stopped does not obey; one that is ending may be nowhere to be found.
  if (await unless(['LOCK_TIMEOUT', 'LOCK_PERMISSION'], killing)) count('killRunning');
}

async function unless(codes, outcome) {
  try {
    return await outcome;
  } catch (error) {
    if (error instanceof LockError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

async function fill() {
  const path = join(locks, 'filler');
  const file = openSync(path, 'w');
  try {
    for (;;) writeSync(file, Buffer.alloc(65536));
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error;
    count('filled');
    await new Promise((next) => setTimeout(next, 20));
  } finally {
    closeSync(file);
    unlinkSync(path);
  }
}
