// npm run test:sanitizers [-- asan | tsan | valgrind]…: the native part under AddressSanitizer with
// UndefinedBehaviorSanitizer and leak detection, under ThreadSanitizer, and under valgrind; all
// three by default. Each has to find a defect that is put into a copy. Wants g++ and valgrind.
//
// Node.js itself is not instrumented, and its own races are not for us to judge. A report counts where
// the native part made the access, or the allocation, at the top of one of its stacks; it may have
// called the C++ library for it. Nothing else is left out.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Build } from './sanitize/build.js';
import { ADDON_RACES, DEFECTS, RACES } from './sanitize/defects.js';
import { copyProject } from './sanitize/project.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const cycles = join(root, 'scripts/test-workers.js');
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-sanitizers-'));
chmodSync(scratch, 0o755); // for the tests' second user
const SECONDS = 1200;
const WORKERS = 24;
const TEST_PROGRAM = ['test/native/main.cc', 'test/native/system_posix.cc'];
const STRESS = ['test/native/stress.cc'];

/**
 * The tests in which the native part works in the process of the test and its threads. What is
 * measured in milliseconds is left out, and what takes its time from a crowd.
 */
const TESTS = ['files', 'kill', 'lock', 'lost', 'own-directory', 'run', 'waiting', 'workers'].map(
  (name) => `test/${name}.test.ts`,
);
const TESTS_OF_THREADS = TESTS.filter((file) => /waiting|workers/.test(file));
const LEFT_OUT = [
  ...['within milliseconds', 'within 100 ms', 'never run while nothing changes'],
  ...['100,000 calls', 'across 20 processes'],
  'and the environment of who started it', // the sanitizer's own variables are not there
  'leave fs, DNS, timers and child processes alone', // sh crashes under ThreadSanitizer
];

/** Said by a sanitizer that has looked at nothing. */
const GAVE_UP = /Sanitizer has encountered a fatal error/;

const KINDS = { asan, tsan, valgrind };
const wanted = process.argv.slice(2);
if (wanted.some((kind) => !(kind in KINDS))) {
  console.error(`test:sanitizers: usage: [${Object.keys(KINDS).join(' | ')}]…`);
  process.exit(64);
}

let places = 0;
let failures = 0;
try {
  for (const [kind, check] of Object.entries(KINDS)) {
    if (wanted.length === 0 || wanted.includes(kind)) await check(join(scratch, kind));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(failures === 0 ? 'nothing found' : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;

async function asan(place) {
  const build = new Build(root, `${place}-objects`, [
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=undefined',
  ]);
  const addon = copyProject(root, place);
  await build.addon(addon);
  // Other programs that the tests start leave memory to the end of the process, and under strace
  // there is no leak detection; so leaks are looked for with the worker threads only.
  const tests = (leaks) => ({
    LD_PRELOAD: runtime('libasan.so'),
    // What it keeps of the threads' own memory outlives an addon that was unloaded, and the search for
    // leaks follows it there and crashes.
    ASAN_OPTIONS: `detect_leaks=${leaks}:intercept_tls_get_addr=0`,
    LSAN_OPTIONS: 'exitcode=0', // Node.js leaves something of its own
    UBSAN_OPTIONS: 'print_stacktrace=1',
  });
  conclude('asan: tests', suite(place, TESTS, tests(0)));
  conclude('asan: workers, and leaks', workers(place, tests(1)));
  for (const [label, defect] of Object.entries(DEFECTS)) {
    await build.addon(addon, defect);
    prove(`asan: ${label}`, workers(place, tests(1)), defect);
  }
}

async function tsan(place) {
  const build = new Build(root, `${place}-objects`, ['-fsanitize=thread']);
  const options = { TSAN_OPTIONS: 'exitcode=0' };
  conclude('tsan: test program', program(await build.program(TEST_PROGRAM), [], options));
  conclude('tsan: stress', program(await build.program(STRESS), ['10'], options));
  for (const [label, defect] of Object.entries(RACES)) {
    const changed = await build.program(STRESS, defect);
    prove(`tsan: ${label}`, program(changed, ['3'], options), defect);
  }
  const preloaded = { ...options, LD_PRELOAD: runtime('libtsan.so') };
  const addon = copyProject(root, place);
  await build.addon(addon);
  conclude('tsan: tests', suite(place, TESTS_OF_THREADS, preloaded));
  conclude('tsan: workers', workers(place, preloaded));
  for (const [label, defect] of Object.entries(ADDON_RACES)) {
    await build.addon(addon, defect);
    prove(`tsan: ${label}`, workers(place, preloaded), defect);
  }
}

async function valgrind(place) {
  const build = new Build(root, `${place}-objects`);
  const check = (file, args) => {
    const result = program(file, args, {}, [
      ...['valgrind', '--error-exitcode=9', '--leak-check=full', '--track-fds=yes'],
      ...['--errors-for-leak-kinds=definite,indirect', '--fair-sched=yes'],
    ]);
    return { ...result, reports: leftOpen(result.output) };
  };
  conclude('valgrind: test program', check(await build.program(TEST_PROGRAM), []));
  conclude('valgrind: stress', check(await build.program(STRESS), ['5']));
  const label = 'a refused lock leaves its descriptor open';
  const defect = {
    file: 'native/lock_posix.cc',
    from: 'Outcome{Status::held, kNoHandle, {}} : failed("flock");\n      ::close(file.fd);',
    to: 'Outcome{Status::held, kNoHandle, {}} : failed("flock");',
    found: 'Open file descriptor',
  };
  prove(`valgrind: ${label}`, check(await build.program(TEST_PROGRAM, defect), []), defect);
}

/** What valgrind says is open at the end; the watch's queue and table of mounts are kept. */
function leftOpen(output) {
  const blocks = output.split(/^==\d+== (?=Open )/m).slice(1);
  const kept = /<inherited from parent>|kernel_lock::open_marks\(\)/;
  return blocks.filter((block) => !kept.test(block));
}

/** The runtime that has to be there before Node.js takes its first memory. */
function runtime(name) {
  const { stdout } = spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' });
  return stdout.trim();
}

function suite(place, files, env) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = ['run', '--testTimeout=360000', '-t', `^(?!.*(${LEFT_OUT.join('|')}))`, ...files];
  return run([process.execPath, vitest, ...args], env, place);
}

function workers(place, env) {
  const args = ['--package', place, '--workers', String(WORKERS)];
  return run([process.execPath, cycles, ...args], env, root);
}

function program(file, args, env, prefix = []) {
  const directory = join(scratch, `locks-${places++}`);
  mkdirSync(directory);
  return run([...prefix, file, directory, ...args], env, root);
}

/** Runs it, and collects what the sanitizers say of it and of every process that it started. */
function run([command, ...args], env, cwd) {
  const logs = join(scratch, `logs-${places++}`);
  mkdirSync(logs);
  const options = { ...env, TMPDIR: scratch }; // for what a crash leaves behind
  for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS']) {
    options[name] = `${env[name] ?? ''}:log_path=${join(logs, 'report')}`;
  }
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...options },
    encoding: 'utf8',
    timeout: SECONDS * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 2 ** 28,
  });
  const output = `${stdout}${stderr}`;
  // UndefinedBehaviorSanitizer writes to stderr where the runtime of another one was there first.
  const texts = [
    ...readdirSync(logs).map((file) => readFileSync(join(logs, file), 'utf8')),
    output,
  ];
  const reports = texts
    .flatMap((text) => text.split(/^={18,}$|^(?=.*: runtime error: )/m))
    .filter((report) => isOurs(report) || GAVE_UP.test(report));
  return { reports, end: error?.message ?? signal ?? status, output };
}

/** Whether the native part is what a stack leads to, but for the libraries that it called. */
function isOurs(report) {
  const library = /libsanitizer|\(lib|\/lib\w+[\w+-]*\.so|\/include\/c\+\+\/(?!.*kernel_lock)/;
  const stacks = report.split(/^(?=\s+#0 )/m).slice(1);
  return stacks.some((stack) => {
    const frames = stack.match(/^\s+#\d+ .*$/gm);
    // A function that was inlined has no namespace in its name, but its file.
    const own = /kernel_lock|\/(native\/|changed-)\w+\.(cc|h):/;
    return own.test(frames.find((frame) => !library.test(frame)) ?? '');
  });
}

/** Has to have ended well, with nothing to report. */
function conclude(label, { reports, end, output }) {
  const good = end === 0 && reports.length === 0;
  console.log(`${good ? 'ok  ' : 'FAIL'}  ${label}${good ? '' : `: ended with ${end}`}`);
  if (good) return;
  failures++;
  console.log(reports.length > 0 ? reports.join('\n') : output.slice(-8000));
}

/** Has to have reported the defect. */
function prove(label, { reports, end, output }, { found }) {
  const good = reports.some((report) => report.includes(found));
  console.log(`${good ? 'ok  ' : 'FAIL'}  ${label}: ${good ? 'is found' : 'was not found'}`);
  if (good) return;
  failures++;
  console.log(`ended with ${end}\n${reports.join('\n')}${output.slice(-2000)}`);
}
