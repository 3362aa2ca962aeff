import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bystander } from '../lib/children.js';
import { startOwn } from '../lib/contestants.js';
import { processorUse } from '../lib/kernel.js';
import { atMost } from '../lib/verdict.js';

const WAITS = 100;
// V8's memory reducer runs once, 8 to 11 s after a start, in the process without waits too, and
// with --no-memory-reducer not at all: 20 ms, which would be counted as ours.
const SETTLE_MS = 15_000;
const STRACE_SETTLE_MS = 1500; // attaching restarts every blocked call once
const STRACE_MS = 4000;

export const idle = {
  id: 'idle',
  title: '100 waits that nothing happens to',
  unit: '',
  measures:
    `One process waits for ${WAITS} names that another one holds: processor time and switches of ` +
    'all its threads (/proc/PID/task/*/schedstat), and what it calls under strace -f. Beside it: the ' +
    'holder, which is a Node process without a wait. It starts 15 s after the waits did, when V8 ' +
    'has tidied its memory once (20 ms in both).',

  async run(bench) {
    const skipped = [];
    const directory = bench.scratch.directory();
    const holder = startOwn(directory);
    const waiter = startOwn(directory);
    await holder.ask(`hold ${WAITS}`);
    await waiter.ask(`pend ${WAITS}`);
    await sleep(bench.short ? 1000 : SETTLE_MS);
    const seconds = bench.short ? 3 : 10;
    const both = [waiter, holder];
    const before = both.map(({ pid }) => processorUse(pid));
    await sleep(seconds * 1000);
    const after = both.map(({ pid }) => processorUse(pid));
    const [percent, barePercent] = after.map(
      ({ nanoseconds }, i) => (nanoseconds - before[i].nanoseconds) / seconds / 1e7,
    );
    const [wakeUps, bareWakeUps] = after.map((use, i) => use.wakeUps - before[i].wakeUps);
    const calls = bench.short ? undefined : await tracedCalls(bench, waiter.pid, skipped);
    await holder.end();
    await waiter.end();

    const lines = [
      { who: `processor time in ${seconds} s`, median: percent, unit: '% of a core' },
      { who: 'the same without waits', median: barePercent, unit: '% of a core' },
      { who: 'wake-ups', median: wakeUps, unit: '' },
      { who: 'wake-ups without waits', median: bareWakeUps, unit: '' },
      { who: 'threads', median: after[0].threads, unit: '' },
    ];
    const verdicts = [
      atMost('processor time', percent, '% of a core', 0.1, 2),
      atMost('wake-ups', wakeUps, '', 0, 100),
    ];
    if (calls !== undefined) {
      lines.push({ who: 'system calls under strace -f', median: calls, unit: '' });
      verdicts.push(atMost('system calls under strace -f', calls, '', 0, 0));
    }
    return { lines, verdicts, skipped };
  },
};

async function tracedCalls(bench, pid, skipped) {
  if (spawnSync('strace', ['--version'], { stdio: 'ignore' }).status !== 0) {
    skipped.push('strace: not run, it is not there');
    return undefined;
  }
  const output = bench.scratch.file('strace');
  const strace = new Bystander('strace', ['-f', '-ttt', '-o', output, '-p', String(pid)]);
  await sleep(STRACE_SETTLE_MS);
  const from = Date.now() / 1000;
  await sleep(STRACE_MS);
  const to = Date.now() / 1000;
  await strace.end('SIGINT');
  const times = readFileSync(output, 'utf8')
    .split('\n')
    .map((text) => Number(text.trim().split(/\s+/)[1]));
  if (times.length < WAITS) {
    skipped.push('strace: not run, it was not allowed to attach');
    return undefined;
  }
  return times.filter((time) => time >= from && time < to).length;
}
