// What the kernel says of a process or a lock.
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** Processor time of all threads in nanoseconds, and how often one of them was switched to. */
export function processorUse(pid) {
  const use = { nanoseconds: 0, wakeUps: 0, threads: 0 };
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [running, , slices] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8')
      .trim()
      .split(' ');
    use.nanoseconds += Number(running);
    use.wakeUps += Number(slices);
    use.threads += 1;
  }
  return use;
}

/** How many calls of flock are blocked on the file. */
export function waitersOn(path) {
  const inode = `:${statSync(path).ino}`;
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .filter((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[1] === '->' && fields[6]?.endsWith(inode);
    }).length;
}

/** Memory of a process by kind, in bytes. */
export function memoryOf(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return { resident: field('VmRSS'), anonymous: field('RssAnon') };
}

export function executableOf(pid) {
  return existsSync(`/proc/${pid}`) ? readlinkSync(`/proc/${pid}/exe`) : undefined;
}

export function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean);
}
