import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bystander } from '../lib/children.js';
import { childrenOf, executableOf, memoryOf } from '../lib/kernel.js';
import { median } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';
import { COMMAND } from './run.js';

const PROGRAM = ['sleep', '60'];
const SLACK_KIB = 64; // where the loader happens to put things moves a program by some pages

export const residue = {
  id: 'residue',
  title: 'Memory that is left once the program runs',
  unit: 'KiB',
  measures:
    'Resident memory of the process that was started, and of its children, while `sleep` runs ' +
    'under the lock: `kernel-lock run`, `flock -F` (exec too), and no lock at all.',

  async run(bench) {
    const directory = bench.scratch.directory();
    const commands = {
      'no lock': PROGRAM,
      'flock -F': ['flock', '-F', join(directory, 'flock'), ...PROGRAM],
      'kernel-lock run': [COMMAND, 'run', 'X', '--directory', directory, '--', ...PROGRAM],
    };
    const kept = new Map(Object.keys(commands).map((id) => [id, []]));
    let others = 0;
    for (let round = 0; round < (bench.short ? 2 : 7); round++) {
      for (const [id, command] of Object.entries(commands)) {
        const { resident, children } = await observe(command);
        kept.get(id).push(resident / 1024);
        if (id === 'kernel-lock run') others = Math.max(others, children);
      }
    }
    const middle = (id) => median(kept.get(id));
    const lines = [...kept.keys()].map((id) => ({
      who: id,
      samples: kept.get(id).length,
      median: middle(id),
      ratio: middle(id) / middle('no lock'),
    }));
    const more = middle('kernel-lock run') - middle('flock -F');
    return {
      lines,
      verdicts: [
        atMost('more than flock -F leaves', more, 'KiB', SLACK_KIB, 512),
        atMost('processes beside the program', others, '', 0, 0),
      ],
      skipped: [],
    };
  },
};

async function observe([command, ...args]) {
  const child = new Bystander(command, args);
  try {
    for (let i = 0; basename(executableOf(child.pid) ?? '') !== PROGRAM[0]; i++) {
      if (i === 1000) throw new Error(`${command} did not become ${PROGRAM[0]}`);
      await sleep(5);
    }
    await sleep(100); // the program's own start
    return { ...memoryOf(child.pid), children: childrenOf(child.pid).length };
  } finally {
    await child.end();
  }
}
