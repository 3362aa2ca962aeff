// One that does to lock files what nobody should: it deletes, renames and replaces them. It holds
// the lock while it does, so that nobody else is inside, and whoever waits waits for a file that is
// not there any more. It also kills holders through the package, and fills the disk.
import { closeSync, copyFileSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
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
const done = { deleted: 0, renamed: 0, replaced: 0, killed: 0, filled: 0 };
while (!stopping) {
  const name = chance.pick(names);
  try {
    const kind = chance.next();
    if (kind < 0.05) await kill(name);
    else if (kind < 0.1 && fullDisk) await fill();
    else await spoil(name);
  } catch (error) {
    if (!(error instanceof LockError) && error.code !== 'ENOSPC') throw error;
  }
  await new Promise((next) => setTimeout(next, chance.below(10)));
}
process.send({ done });
process.disconnect();

async function spoil(name) {
  const path = lockPath(name, options);
  const held = await lock(name, { ...options, wait: PATIENCE });
  try {
    const kind = chance.below(3);
    if (kind === 0) {
      unlinkSync(path);
      done.deleted++;
    } else if (kind === 1) {
      renameSync(path, join(locks, `moved-${chance.below(5)}`));
      done.renamed++;
    } else {
      const other = join(locks, 'other');
      copyFileSync(path, other);
      renameSync(other, path);
      done.replaced++;
    }
    // Others make the file anew, and are inside, while this one still holds the old one.
    if (chance.chance(0.5)) await new Promise((next) => setTimeout(next, chance.below(5)));
  } finally {
    held.release();
  }
}

async function kill(name) {
  const force = chance.chance(0.5);
  if (await killRunning(name, { ...options, force, timeout: 1000 })) done.killed++;
}

async function fill() {
  const path = join(locks, 'filler');
  const file = openSync(path, 'w');
  try {
    for (;;) writeSync(file, Buffer.alloc(65536));
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error;
    done.filled++;
    await new Promise((next) => setTimeout(next, 20));
  } finally {
    closeSync(file);
    unlinkSync(path);
  }
}
