// npm run test:interop: test/interop/cases.mjs with every partner, a program that somebody else wrote
// or that uses what somebody else wrote to lock a file. Wants flock(1), and from the distribution
// python3-filelock, golang-go, golang-github-gofrs-flock-dev and wine64; rustc 1.89; the prebuild for
// win32-x64. A partner that can't be run has failed.
//   node scripts/test-interop.js [PART OF A PARTNER'S NAME]
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PARTNERS, runtimeFor } from './interop/partners.js';
import { pack } from './pack.js';
import { broken, conclude, runCases } from './platforms/rows.js';
import { Wine } from './platforms/wine.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const cases = join(root, 'test', 'interop', 'cases.mjs');
const only = process.argv[2] ?? '';
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-interop-'));
const wine = new Wine(scratch);
const rows = [];
try {
  for (const partner of PARTNERS) {
    if (!partner.name.includes(only)) continue;
    rows.push({
      platform: partner.name,
      runtime: partner.windows ? 'Windows' : 'Linux',
      ...run(partner),
    });
    console.log(`${partner.name}: done`);
  }
} finally {
  wine.stop();
  rmSync(scratch, { recursive: true, force: true });
}
printTable(rows);
conclude(rows);

function run(partner) {
  let command;
  try {
    command = partner.prepare(scratch);
  } catch (error) {
    return broken(`${error.message} ${error.stderr ?? ''}`);
  }
  const directory = join(scratch, partner.name.replace(/\W+/g, '-'));
  mkdirSync(directory);
  const words = [cases, partner.windows ? packed() : root, directory, JSON.stringify(command)];
  const environment = partner.windows ? wine.environment : process.env;
  const program = [...runtimeFor(partner), ...words];
  return runCases(program, environment, `${directory}.log`, partner.mayNotRun);
}

// Here this machine's build is tried; for Windows it is what is published.
function packed() {
  const directory = mkdtempSync(join(scratch, 'packed-'));
  execFileSync('tar', ['-xzf', pack(directory), '-C', directory]);
  return join(directory, 'package');
}

/** A line per case, a column per partner: ok, FAIL, - where it does not apply, ? where it did not run. */
function printTable(partners) {
  const all = [...new Set(partners.flatMap(({ names }) => names))];
  const width = Math.max(0, ...all.map((name) => name.length));
  console.log('');
  for (const [index, { platform }] of partners.entries()) console.log(`${index + 1}  ${platform}`);
  console.log(`\n${' '.repeat(width)}  ${partners.map((_, index) => index + 1).join('    ')}`);
  for (const name of all) {
    const marks = partners.map((partner) => markOf(name, partner).padEnd(5));
    console.log(`${name.padEnd(width)}  ${marks.join('')}`.trimEnd());
  }
}

function markOf(name, { names, failed, notRun }) {
  if (names.includes(name)) return 'ok';
  if (failed.some((line) => line.startsWith(`FAILED  ${name}: `))) return 'FAIL';
  return notRun.some((line) => line.startsWith(`not run ${name}: `)) ? '-' : '?';
}
