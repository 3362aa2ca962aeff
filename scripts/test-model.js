// npm run test:model: looks through every interleaving of test/model/lock.pml with spin. The
// protocol has to keep two apart; without the comparison of inodes, the known way in has to be
// found. Wants spin and gcc.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const model = fileURLToPath(new URL('../test/model/lock.pml', import.meta.url));
const ROWS = [
  ['two contenders', ['CONTENDERS=2'], true],
  ['three contenders', ['CONTENDERS=3'], true],
  ['three, one of them a reader', ['CONTENDERS=3', 'READERS=1'], true],
  ['three, two of them readers', ['CONTENDERS=3', 'READERS=2'], true],
  ['two, and a stranger who deletes and renames: one is told', ['CONTENDERS=2', 'ROGUE'], true],
  ['two, one a reader, and the stranger', ['CONTENDERS=2', 'READERS=1', 'ROGUE'], true],
  [
    'two, without the comparison of inodes, has to break',
    ['CONTENDERS=2', 'NO_INODE_CHECK'],
    false,
  ],
  ['three, without it, has to break', ['CONTENDERS=3', 'NO_INODE_CHECK'], false],
];

let failed = 0;
for (const [label, flags, holds] of ROWS) {
  const { errors, overlap, states, output } = explore(flags);
  const good = holds ? errors === 0 : overlap;
  if (!good) failed++;
  const found = errors === 0 ? 'holds' : overlap ? 'two are inside' : 'broken otherwise';
  console.log(`${good ? 'ok  ' : 'FAIL'}  ${label}: ${found} (${states} states)`);
  if (!good) console.log(output);
}
console.log(`${ROWS.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function explore(flags) {
  const directory = mkdtempSync(join(tmpdir(), 'kernel-lock-model-'));
  const options = { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] };
  try {
    const defines = flags.map((flag) => `-D${flag}`);
    execFileSync('spin', [...defines, '-a', model], options);
    execFileSync('gcc', ['-O2', '-DSAFETY', '-w', '-o', 'pan', 'pan.c'], options);
    const { stdout } = spawnSync(join(directory, 'pan'), ['-m10000000'], {
      ...options,
      timeout: 600_000,
      killSignal: 'SIGKILL',
    });
    // A search that was cut short proves nothing.
    const count = /errors: (\d+)/.exec(stdout);
    const cut = /max search depth too small|out of memory/.test(stdout);
    if (count === null || cut) throw new Error(`spin did not finish:\n${stdout}`);
    const states = /(\d+) states, stored/.exec(stdout)?.[1] ?? '?';
    const overlap = stdout.includes('assertion violated');
    return { errors: Number(count[1]), overlap, states, output: stdout };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
