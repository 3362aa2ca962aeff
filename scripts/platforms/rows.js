// A row is one platform and what ran on it; this is how one is run, judged and shown.
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

const MINUTES_PER_ROW = 10;

/**
 * @typedef {object} Result
 * @property {number} passed cases
 * @property {string[]} names of those
 * @property {string[]} failed why
 * @property {string[]} notRun why
 */

/** The result of what could not even begin. */
export const broken = (reason) => ({
  passed: 0,
  names: [],
  failed: [reason],
  notRun: [],
});

/**
 * Runs a program that prints `N cases`, and `ok`, `FAILED` or `not run` for each. What it does not
 * account for has failed.
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} env
 * @param {string} log the file for its output: node.exe under Wine can't write to a pipe of Linux
 * @param {string[]} [mayNotRun] the cases that need not run there; any other that does not has failed
 * @returns {Result}
 */
export function runCases(command, env, log, mayNotRun = []) {
  const to = openSync(log, 'w');
  const [program, ...args] = command;
  const { status, signal, error } = spawnSync(program, args, {
    env,
    stdio: ['ignore', to, to],
    timeout: MINUTES_PER_ROW * 60_000,
    killSignal: 'SIGKILL',
  });
  closeSync(to);
  const output = readFileSync(log, 'utf8');
  const lines = output.split(/\r?\n/);
  const told = (word) => lines.filter((line) => line.startsWith(word));
  const [passed, failed, skipped] = [told('ok '), told('FAILED '), told('not run ')];
  const isExpected = (line) => mayNotRun.some((name) => line.startsWith(`not run ${name}: `));
  const notRun = skipped.filter(isExpected);
  const wanted = /^(\d+) cases\r?$/m.exec(output)?.[1] ?? 'unknown';
  const ran = passed.length + failed.length + skipped.length;
  if (status !== 0 && failed.length === 0) {
    failed.push(`${error?.message ?? `it ended with ${signal ?? status}`}: ${output.slice(-1000)}`);
  }
  if (String(ran) !== wanted) failed.push(`${ran} of ${wanted} cases were accounted for`);
  if (passed.length === 0) failed.push('no case passed');
  for (const line of skipped) if (!isExpected(line)) failed.push(`it has to run here: ${line}`);
  const names = passed.map((line) => line.slice('ok'.length).trim());
  return { passed: passed.length, names, failed, notRun };
}

/** Prints the table, why cases failed or were not run, and the counts of rows. Sets the exit status. */
export function conclude(rows) {
  const width = (key) => Math.max(...rows.map((row) => row[key].length));
  console.log('');
  for (const row of rows) {
    const { platform, runtime, passed, failed, notRun } = row;
    console.log(
      [
        platform.padEnd(width('platform')),
        runtime.padEnd(width('runtime')),
        `${String(passed).padStart(3)} passed, ${failed.length} failed, ${notRun.length} not run`,
      ].join('  '),
    );
  }
  for (const { platform, runtime, failed, notRun } of rows) {
    for (const line of [...failed, ...notRun]) console.log(`${platform}, ${runtime}: ${line}`);
  }
  const failures = rows.filter(({ failed }) => failed.length > 0).length;
  const whole = rows.filter(({ failed, notRun }) => failed.length + notRun.length === 0).length;
  const partly = rows.length - failures - whole;
  console.log(
    `${whole} passed, ${failures} failed${partly > 0 ? `, ${partly} passed but for cases that were not run` : ''}`,
  );
  process.exitCode = failures === 0 && rows.length > 0 ? 0 : 1;
}
