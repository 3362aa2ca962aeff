// What this process has open of the package's, told from what Node.js opens for itself.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Descriptors by what they lead to, threads by the name that the package gives them.
 * @param {string} directory of the lock files
 * @returns {Record<string, number>}
 */
export function resources(directory) {
  const found = { 'lock file': 0, thread: 0 };
  const count = (what) => {
    found[what] = (found[what] ?? 0) + 1;
  };
  for (const fd of readdirSync('/proc/self/fd')) {
    const target = textOf(() => readlinkSync(`/proc/self/fd/${fd}`));
    if (target.startsWith(directory)) count('lock file');
    else if (/inotify|mountinfo/.test(target)) count(target);
  }
  for (const task of readdirSync('/proc/self/task')) {
    const name = textOf(() => readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim());
    if (name === 'kernel-lock') count('thread');
  }
  return found;
}

// The one that lists them is gone when it is looked at, as a thread that ends is.
function textOf(read) {
  try {
    return read();
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return '';
    throw error;
  }
}
