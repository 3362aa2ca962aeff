import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What the figures were measured on. */
export function describeMachine(directory) {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    commit: commit(),
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    fileSystem: fileSystemOf(directory),
    loadBefore: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
  };
}

function commit() {
  try {
    const git = (...args) =>
      execFileSync('git', args, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'ignore'] })
        .toString()
        .trim();
    const changed = git('status', '--porcelain', '--', '../../src', '../../native') !== '';
    return git('rev-parse', '--short', 'HEAD') + (changed ? ' and uncommitted changes' : '');
  } catch {
    return 'unknown';
  }
}

function fileSystemOf(directory) {
  let best = { point: '', type: 'unknown' };
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, point = '', type] = line.split(' ');
    const inside = point === '/' || directory === point || directory.startsWith(`${point}/`);
    if (inside && point.length >= best.point.length) best = { point, type };
  }
  return best.type;
}
