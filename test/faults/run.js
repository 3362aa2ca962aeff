// npm run test:faults: every call that the addon makes fails once, in a process of its own. It has
// to end in a clear error, or without any effect on who holds the lock; never in a crash, a hang, a
// lock that keeps nobody out, or one, a descriptor or a thread left behind. Where memory runs out,
// the process ends, as Node.js itself does then, and the kernel frees its locks.
// What the addon calls and is neither made to fail nor excepted with a reason (plan.js) is a problem,
// and so is what no scenario reaches. operator new counts also where libstdc++ calls it for the addon.
// Up to the call that fails, a run is as one without a fault: such a one is made first, and counts.
// Wants gcc, g++, nm and flock(1). `--only TEXT`: scenarios that contain it.
import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Build } from '../../scripts/sanitize/build.js';
import { CALLS, EXCEPTIONS } from './plan.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const child = fileURLToPath(new URL('child.js', import.meta.url));
const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });

/** What each ends with, or an error that names the call; with a fault also in `failed`. */
const SCENARIOS = {
  'acquire a new file': { result: 'acquired' },
  'acquire a file that is there': { result: 'acquired' },
  'acquire a new file under a strict umask': { result: 'acquired' },
  'acquire a file that flock made': { result: 'acquired' },
  'acquire as a reader': { result: 'acquired' },
  release: { result: 'released' },
  'acquire in scope user': { result: 'acquired' },
  'keep the file looking used': { result: 'touched' },
  'ask for a held one': { result: 'refused' },
  'wait until it is free': { result: 'acquired' },
  'wait, blocking, until time runs out': { code: 'LOCK_TIMEOUT' },
  'cancel a wait': { name: 'AbortError' },
  'lose a watched lock': { result: 'told' },
  'ask the lock itself who holds it': { result: 'exclusive', failed: 'unknown' },
  'become a program that holds it': { result: 'held', failed: 'refused' },
  'become a program that ends with this one': { result: 'started', failed: 'refused' },
  'end the holder': { result: 'killed: true' },
};

/** As they are called where a failure is told. */
const TOLD_AS = {
  open64: ['open'],
  fstat64: ['fstat'],
  syscall: ['pidfd_open', 'pidfd_send_signal'],
};
const CODES = ['LOCK_SYSTEM', 'LOCK_PERMISSION', 'LOCK_UNSUPPORTED', 'LOCK_TIMEOUT'];
const SECONDS = 120;
/** Of the control file: which call, number, error number, then the counts. */
const COUNTS = 3;
/** Processes at once: they wait for others and for the disk now and then. */
const LANES = availableParallelism() + 1;

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
    from: 'if (result != 0) {',
    to: 'if (result != 0 && errno == EWOULDBLOCK) {',
  });
  for (const copy of [own, broken]) {
    cpSync(join(root, 'dist'), join(copy, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(copy, 'package.json'));
  }

  let failures = 0;
  const tell = (good, text, details = []) => {
    if (!good) failures++;
    console.log(`${good ? 'ok  ' : 'FAIL'}  ${text}`);
    for (const detail of details) console.log(`        ${detail}`);
  };

  const unknown = unknownSymbols(join(own, 'build/Release/kernel_lock.node'));
  tell(unknown.length === 0, 'every call of the addon is made to fail, or excepted', unknown);
  let faults = 0;
  const reached = new Set();
  for (const scenario of Object.keys(SCENARIOS)) {
    if (!scenario.includes(values.only)) continue;
    const { injected, problems } = await attack(own, preload, scenario);
    const count = sum(injected.values());
    for (const call of injected.keys()) reached.add(call);
    faults += count;
    if (count === 0) problems.push('no call was made to fail');
    const each = [...injected].map(([call, number]) => `${call} ${number}`).join(', ');
    tell(problems.length === 0, `${scenario}: ${count} faults`, [each, ...problems]);
  }
  if (values.only === '') {
    const missing = Object.keys(CALLS).filter((call) => !reached.has(call));
    tell(missing.length === 0, 'some scenario reaches each call', missing);
  }
  const control = await attack(broken, preload, 'acquire a file that is there', ['flock']);
  const found = control.problems.some((problem) => problem.includes('others get in'));
  tell(found, 'an addon that believes a refused flock is found out');
  console.log(`${faults} faults, ${failures} problems, ${Math.round(performance.now() / 1000)} s`);
  process.exitCode = failures === 0 ? 0 : 1;
}

function sum(numbers) {
  return [...numbers].reduce((total, number) => total + number, 0);
}

/** What the addon calls and plan.js does not know. */
function unknownSymbols(addon) {
  const wrapped = new Set(Object.entries(CALLS).map(([name, { symbol = name }]) => symbol));
  return execFileSync('nm', ['-D', '--undefined-only', '--format=posix', addon], {
    encoding: 'utf8',
  })
    .trim()
    .split('\n')
    .map((line) => line.replace(/[@ ].*/, ''))
    .filter((name) => !wrapped.has(name) && !EXCEPTIONS.some(([pattern]) => pattern.test(name)));
}

/** Makes each call of the scenario fail, one after the other. */
async function attack(copy, preload, scenario, only = Object.keys(CALLS)) {
  const problems = [];
  const injected = new Map();
  const quiet = await run(copy, preload, scenario);
  const problem = judge(quiet, scenario);
  if (problem !== undefined) return { injected, problems: [`without a fault: ${problem}`] };
  const work = [];
  for (const call of only) {
    for (const error of CALLS[call].errors) {
      const count = quiet.counts[CALLS[call].number];
      for (let number = 1; number <= count; number++) work.push({ call, number, error });
    }
  }
  const lane = async () => {
    for (let fault = work.shift(); fault !== undefined; fault = work.shift()) {
      const { call, number, error } = fault;
      const end = await run(copy, preload, scenario, fault);
      const failed = end.counts[CALLS[call].number] >= number;
      if (failed) injected.set(call, (injected.get(call) ?? 0) + 1);
      const problem = judge(end, scenario, failed ? call : undefined, error);
      if (problem !== undefined) problems.push(`${call} number ${number}, ${error}: ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { injected, problems };
}

async function run(copy, preload, scenario, { call, number, error } = { number: 0, error: 0 }) {
  const place = join(scratch, `run-${runs++}`);
  const [locks, home, control] = ['locks', 'home', 'control'].map((name) => join(place, name));
  mkdirSync(locks, { recursive: true });
  mkdirSync(home);
  writeFileSync(control, Buffer.alloc(4096));
  const args = [child, join(copy, 'dist'), control, locks, scenario];
  const env = {
    ...process.env,
    LD_PRELOAD: preload,
    KERNEL_LOCK_FAULTS: control,
    KERNEL_LOCK_FAULTS_HOME: home,
  };
  const end = await execute(
    process.execPath,
    [...args, CALLS[call]?.number ?? -1, number, error].map(String),
    { env, timeout: SECONDS * 1000, killSignal: 'SIGKILL' },
  );
  const { stdout } = end;
  end.outcome = /^\{.*\}$/m.test(stdout) ? JSON.parse(stdout) : undefined;
  end.counts = new Int32Array(Uint8Array.from(readFileSync(control)).buffer, COUNTS * 4);
  // The other holder of the scenario ends with the process, an instant later.
  const files = [join(locks, 'bot.lock'), join(home, '.local/state/kernel-lock/bot.lock')];
  const tries = files
    .filter((file) => existsSync(file))
    .map((file) => execute('flock', ['--timeout', '10', file, 'true']));
  end.free = (await Promise.all(tries)).every(({ status }) => status === 0);
  rmSync(place, { recursive: true, force: true });
  return end;
}

function execute(command, args, options) {
  return new Promise((resolve) => {
    execFile(command, args, options, (failure, stdout, stderr) =>
      resolve({ signal: failure?.signal ?? null, status: failure?.code ?? 0, stdout, stderr }),
    );
  });
}

/** What is wrong with how it ended, if anything. */
function judge({ signal, status, stderr, outcome, free }, scenario, call, error) {
  if (!free) return 'the lock was left behind';
  if (call?.startsWith('operator new') && outcome === undefined) {
    const told = signal === 'SIGABRT' && stderr.includes('std::bad_alloc');
    return told ? undefined : `it ended with ${signal ?? status}: ${stderr}`;
  }
  if (outcome === undefined || status !== 0) return `it ended with ${signal ?? status}: ${stderr}`;
  if (!outcome.free) {
    return `the process did not let go of the lock: ${JSON.stringify(outcome.result ?? outcome.error)}`;
  }
  for (const [what, count] of Object.entries(outcome.left)) return `${count} more of ${what}`;
  const wanted = SCENARIOS[scenario];
  if (outcome.result !== undefined) {
    const expected = [wanted.result, ...(call === undefined ? [] : [wanted.failed])];
    return expected.includes(outcome.result) ? undefined : outcome.result;
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
