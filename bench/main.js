// npm run bench: what kernel-lock costs, beside the bare system calls and its peers.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endAll } from './lib/children.js';
import { buildFloor } from './lib/floor.js';
import { describeMachine } from './lib/machine.js';
import { installPeers } from './lib/peers.js';
import { drawPicture } from './lib/picture.js';
import { Scratch } from './lib/scratch.js';
import { checkText, machineText, rowText, verdictText } from './lib/table.js';
import { judged } from './lib/verdict.js';
import { cycle } from './rows/cycle.js';
import { handover } from './rows/handover.js';
import { idle } from './rows/idle.js';
import { list } from './rows/list.js';
import { many } from './rows/many.js';
import { postgres, postgresHandover } from './rows/postgres.js';
import { residue } from './rows/residue.js';
import { run } from './rows/run.js';
import { startup } from './rows/startup.js';
import { waiters } from './rows/waiters.js';

const ROWS = [
  cycle,
  handover,
  waiters,
  idle,
  many,
  list,
  startup,
  run,
  residue,
  postgres,
  postgresHandover,
];
const HELP = `node bench/main.js [--rows ${ROWS.map(({ id }) => id).join(',')}] [--short] [--peers]
  Measures everything; writes bench/results.json and, if all rows ran, bench/results.svg.
  Exit status 1 where a target was missed.
  --short   under a minute, without peers; asks for ratios with room to spare; writes no files
  --peers   with --short: measures the peers too`;

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    short: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(HELP);
else process.exitCode = await main();

async function main() {
  const rows = chosenRows(values.rows);
  if (process.platform !== 'linux') throw new Error('the bench reads /proc, so it needs Linux');
  const scratch = new Scratch();
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ]) {
    process.once(signal, async () => {
      await endAll();
      scratch.remove();
      process.exit(128 + number);
    });
  }
  try {
    const bench = {
      short: values.short,
      scratch,
      floor: buildFloor(scratch),
      peers: values.short && !values.peers ? new Map() : installPeers(console.error),
    };
    return await measure(bench, rows);
  } finally {
    await endAll();
    scratch.remove();
  }
}

async function measure(bench, rows) {
  const machine = describeMachine(bench.scratch.path);
  console.log(machineText(machine));
  const results = { machine, rows: [] };
  for (const row of rows) {
    console.error(`measuring: ${row.title}`);
    const { id, title, unit, measures } = row;
    const result = { id, title, unit, measures, ...(await row.run(bench)) };
    results.rows.push(result);
    console.log(rowText(result));
  }
  const all = results.rows.flatMap((row) => row.verdicts);
  const verdicts = judged(all, bench.short ? 'roomy' : 'target');
  console.log(`\n${bench.short ? 'What this short form asks for' : 'All targets'}`);
  for (const verdict of verdicts) {
    console.log(`  ${bench.short ? checkText(verdict) : verdictText(verdict)}`);
  }
  if (!bench.short) write(results, rows);
  return verdicts.every(({ met, near }) => (bench.short ? near : met)) ? 0 : 1;
}

function write(results, rows) {
  const file = (name) => join(import.meta.dirname, name);
  writeFileSync(file('results.json'), `${JSON.stringify(results, null, 2)}\n`);
  // A picture of some rows would replace the one of all.
  if (rows.length === ROWS.length) {
    writeFileSync(file('results.svg'), drawPicture(results));
  }
}

function chosenRows(list) {
  if (list === undefined) return ROWS;
  return list.split(',').map((id) => {
    const row = ROWS.find((one) => one.id === id);
    if (row === undefined) throw new Error(`there is no row '${id}'; see --help`);
    return row;
  });
}
