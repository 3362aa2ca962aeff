// npm run test:faults: every call that the addon makes fails once, in a process of its own. It has
// to end in a clear error, or without any effect on who holds the lock; never in a crash, a hang, a
// lock that keeps nobody out, or one, a descriptor or a thread left behind. Where memory runs out,
// the process ends, as Node.js itself does then, and the kernel frees its locks.
// Wants gcc, g++ and flock(1). `--only TEXT`: scenarios that contain it.
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Build } from '../../scripts/sanitize/build.js';
import { CALLS } from './plan.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const child = fileURLToPath(new URL('child.js', import.meta.url));
const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });

/** What each may end with beside an error that names the call. */
const SCENARIOS = {
  'acquire a new file': { result: 'acquired' },
  'acquire a file that is there': { result: 'acquired' },
  'acquire as a reader': { result: 'acquired' },
  release: { result: 'released' },
  'ask for a held one': { result: 'refused' },
  'wait until it is free': { result: 'acquired' },
  'wait, blocking, until time runs out': { code: 'LOCK_TIMEOUT' },
  'cancel a wait': { name: 'AbortError' },
  'lose a watched lock': { result: 'told' },
  'ask the lock itself who holds it': { result: /^(exclusive|unknown)$/ },
  'become a program that holds it': { result: /^(held|refused)$/ },
  'end the holder': { result: 'killed: true' },
};

/** As they are called where a failure is told. */
const TOLD_AS = {
  open64: ['open'],
  fstat64: ['fstat'],
  syscall: ['pidfd_open', 'pidfd_send_signal'],
};
const CODES = ['LOCK_SYSTEM', 'LOCK_PERMISSION', 'LOCK_UNSUPPORTED', 'LOCK_TIMEOUT'];
const SECONDS = 60;

let runs = 0;
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-faults-'));
try {
  await main();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function main() {
  const preload = join(scratch, 'faults.so');
  execFileSync('gcc', [
    ...['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror', '-fexceptions'],
    ...[join(root, 'test/faults/preload.c'), '-o', preload, '-lstdc++', '-ldl'],
  ]);
  const own = join(scratch, 'own');
  const broken = join(scratch, 'broken');
  const build = new Build(root, join(scratch, 'objects'));
  await build.addon(join(own, 'build/Release/kernel_lock.node'));
  // A lock that is believed although the kernel refused it has to be found.
  await build.addon(join(broken, 'build/Release/kernel_lock.node'), {
    file: 'native/lock_posix.cc',
    from: 'if (::flock(file.fd, operation) != 0) {',
    to: 'if (::flock(file.fd, operation) != 0 && errno == EWOULDBLOCK) {',
  });
  for (const copy of [own, broken]) {
    cpSync(join(root, 'dist'), join(copy, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  }

  let failures = 0;
  let faults = 0;
  for (const scenario of Object.keys(SCENARIOS)) {
    if (!scenario.includes(values.only)) continue;
    const { injected, problems, calls } = await attack(own, preload, scenario);
    faults += injected;
    failures += problems.length;
    if (injected === 0) problems.push('no call was made to fail');
    console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'}  ${scenario}: ${injected} faults`);
    console.log(`        ${calls.join(', ')}`);
    for (const problem of problems) console.log(`        ${problem}`);
  }
  const control = await attack(broken, preload, 'acquire a file that is there', ['flock']);
  const found = control.problems.some((problem) => problem.includes('others get in'));
  console.log(
    `${found ? 'ok  ' : 'FAIL'}  an addon that believes a refused flock ${found ? 'is found out' : 'was not found out'}`,
  );
  if (!found) failures++;
  console.log(`${faults} faults, ${failures} problems`);
  process.exitCode = failures === 0 ? 0 : 1;
}

/** Makes each call of the scenario fail, one after the other. */
async function attack(copy, preload, scenario, only = Object.keys(CALLS)) {
  const problems = [];
  const calls = [];
  let injected = 0;
  const one = async (call, error) => {
    for (let number = 1; ; number++) {
      const end = await run(copy, preload, scenario, call, number, error);
      if (end.outcome !== undefined && end.outcome.seen < number) {
        if (number > 1) calls.push(`${call} ${error} × ${number - 1}`);
        const quiet = judge(end, scenario, undefined, error);
        if (quiet !== undefined) problems.push(`without a fault: ${quiet}`);
        return;
      }
      injected++;
      const problem = judge(end, scenario, call, error);
      if (problem !== undefined) problems.push(`${call} number ${number}, ${error}: ${problem}`);
      if (end.outcome === undefined && call !== 'operator new') return;
    }
  };
  const work = only.flatMap((call) => CALLS[call].errors.map((error) => [call, error]));
  const lane = async () => {
    for (let next = work.shift(); next !== undefined; next = work.shift()) await one(...next);
  };
  await Promise.all([lane(), lane()]);
  return { injected, problems, calls };
}

async function run(copy, preload, scenario, call, number, error) {
  const place = join(scratch, `run-${runs++}`);
  const locks = join(place, 'locks');
  const control = join(place, 'control');
  mkdirSync(locks, { recursive: true });
  writeFileSync(control, Buffer.alloc(4096));
  const args = [child, join(copy, 'dist'), control, locks, scenario, CALLS[call].number, number];
  const end = await new Promise((resolve) => {
    execFile(
      process.execPath,
      [...args, error].map(String),
      {
        env: { ...process.env, LD_PRELOAD: preload, KERNEL_LOCK_FAULTS: control },
        timeout: SECONDS * 1000,
        killSignal: 'SIGKILL',
      },
      (failure, stdout, stderr) =>
        resolve({
          signal: failure?.signal ?? null,
          status: failure?.code ?? 0,
          stderr,
          outcome: /^\{.*\}$/m.test(stdout) ? JSON.parse(stdout) : undefined,
        }),
    );
  });
  // The other holder of the scenario ends with the process, an instant later.
  end.free = spawnSync('flock', ['--timeout', '10', join(locks, 'bot.lock'), 'true']).status === 0;
  rmSync(place, { recursive: true, force: true });
  return end;
}

/** What is wrong with how it ended, if anything. */
function judge({ signal, status, stderr, outcome, free }, scenario, call, error) {
  if (!free) return 'the lock was left behind';
  if (call === 'operator new' && outcome === undefined) {
    const told = signal === 'SIGABRT' && stderr.includes('std::bad_alloc');
    return told ? undefined : `it ended with ${signal ?? status}: ${stderr}`;
  }
  if (outcome === undefined || status !== 0) return `it ended with ${signal ?? status}: ${stderr}`;
  if (!outcome.free) return 'the process did not let go of the lock';
  for (const [what, count] of Object.entries(outcome.left)) return `${count} more of ${what}`;
  const wanted = SCENARIOS[scenario];
  if (outcome.result !== undefined) {
    const matches =
      wanted.result instanceof RegExp
        ? wanted.result.test(outcome.result)
        : wanted.result === outcome.result;
    return matches ? undefined : outcome.result;
  }
  const failure = outcome.error;
  if (failure.name === wanted.name || failure.code === wanted.code) return undefined;
  const clear =
    failure.own &&
    CODES.includes(failure.code) &&
    (TOLD_AS[call] ?? [call]).includes(failure.syscall) &&
    failure.errno === error;
  return clear ? undefined : `an error that does not tell: ${JSON.stringify(failure)}`;
}
