// Acquires and releases `bot` in a directory that others write to, and prints what came of it, as
// JSON: how often it was granted and refused, by code, and every grant on what is no lock file.
// It goes on for ROUNDS, and then until both have happened, for SECONDS at the most.
//   besieged.mjs DIRECTORY ROUNDS SECONDS [FORBIDDEN INODE …]
import { fstatSync, readdirSync, readlinkSync } from 'node:fs';
import { inspect, LockError, lockPath, lockSync, tryLock } from '../../dist/index.js';

const [, , directory, rounds, seconds, ...forbidden] = process.argv;
const path = lockPath('bot', { directory });
const told = { granted: 0, refused: {}, wrong: [] };

/** The descriptor of what was locked, by the kernel's word. */
function descriptor() {
  return readdirSync('/proc/self/fd').find((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).replace(/ \(deleted\)$/, '') === path;
    } catch {
      return false;
    }
  });
}

const deadline = performance.now() + 1000 * Number(seconds);
const both = () => told.granted > 0 && Object.keys(told.refused).length > 0;
for (let round = 0; round < Number(rounds) || !both(); round++) {
  if (performance.now() > deadline) break;
  try {
    const held =
      round % 2 === 0 ? tryLock('bot', { directory }) : lockSync('bot', { directory, wait: 20 });
    if (held === null) continue;
    told.granted++;
    const fd = descriptor();
    // A file that was moved since has another path.
    if (fd !== undefined) {
      const status = fstatSync(Number(fd), { bigint: true });
      const foreign = forbidden.includes(String(status.ino));
      if (!status.isFile() || status.nlink > 1n || foreign) {
        told.wrong.push({ ino: String(status.ino), mode: String(status.mode), foreign });
      }
    }
    held.release();
    inspect('bot', { directory });
  } catch (error) {
    if (!(error instanceof LockError)) throw error;
    told.refused[error.code] = (told.refused[error.code] ?? 0) + 1;
  }
}
console.log(JSON.stringify(told));
