// One process in which one call of the addon fails: node child.js DIST CONTROL LOCK-DIRECTORY
// SCENARIO CALL NUMBER ERRNO. With CALL -1 none fails. Prints what came of it as JSON; run.js judges.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, controlFile, directory, scenario, ...fault] = process.argv.slice(2);
const { checkRunning, inspect, killRunning, lock, LockError, lockPath, lockSync, tryLock } =
  await import(pathToFileURL(join(dist, 'index.js')).href);
const addon = createRequire(import.meta.url)(join(dist, '../build/Release/kernel_lock.node'));
const control = openSync(controlFile, 'r+');
const NAME = 'bot';
const PTHREAD_KILL = '30';
// The home is asked for once: by the scenario, and not before.
const inUser = scenario.endsWith('scope user');
const options = inUser ? { scope: 'user' } : { directory };
const path = inUser
  ? join(process.env.KERNEL_LOCK_FAULTS_HOME, '.local/state/kernel-lock', `${NAME}.lock`)
  : lockPath(NAME, options);
const { LD_PRELOAD: _, ...plainEnv } = process.env;

const arm = () =>
  writeSync(control, new Int32Array([...fault.map(Number), ...Array(64)]), 0, 268, 0);
const disarm = () => writeSync(control, new Int32Array([0]), 0, 4, 0);

async function until(holds) {
  const patience = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > patience) throw new Error(`never: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

// flock(1) as a judge that knows nothing of this package.
const isFree = (mode = '--exclusive') =>
  !existsSync(path) ||
  spawnSync('flock', ['--nonblock', mode, path, 'true'], { env: plainEnv }).status === 0;

// Another process that holds it, as itself and not by a child.
async function holder() {
  const child = spawn('flock', ['--no-fork', path, 'sh', '-c', 'echo held; exec cat'], {
    env: plainEnv,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.end = async () => {
    const exited = child.exitCode !== null || child.signalCode !== null || once(child, 'exit');
    child.stdin.end();
    await exited;
    child.stdout.destroy();
  };
  return child;
}

// Whether it has come to wait, or will not.
const waits = (pending) => {
  let over = false;
  pending.then(...Array(2).fill(() => (over = true)));
  return until(() => over || inspect(NAME, options).waiters === 1);
};

// A lock that this process was given has to keep others out.
function use(held) {
  if (held === null) return 'refused';
  disarm();
  const excludes = !isFree() && (held.shared ? isFree('--shared') : !isFree('--shared'));
  held.release();
  return excludes ? 'acquired' : 'acquired, but others get in';
}

// With a limit of open files that Node.js raises for itself.
const LIMITED = ['sh', '-c', 'ulimit -Sn 512; "$@"; exit $?', 'sh', process.execPath];

// What the program printed, or that the command line said why there is none.
function cli([command, ...prefix], ...args) {
  const end = spawnSync(command, [...prefix, join(dist, 'cli.js'), ...args], { encoding: 'utf8' });
  const status = end.status ?? 128 + constants.signals[end.signal];
  if (status === 0) return end.stdout.trim();
  const aborted = status === 128 + constants.signals.SIGABRT;
  const told = aborted ? end.stderr.includes('bad_alloc') : /^kernel-lock: ./.test(end.stderr);
  return told ? 'refused' : `ended with ${status}: ${end.stderr}`;
}

const scenarios = {
  'acquire a new file': () => use(tryLock(NAME, options)),
  'acquire a file that is there': () => use(tryLock(NAME, options)),
  'acquire a new file under a strict umask': () => {
    process.umask(0o077);
    return use(tryLock(NAME, options));
  },
  'acquire a file that flock made': () => {
    disarm();
    rmSync(path);
    writeFileSync(path, '');
    arm();
    return use(tryLock(NAME, options));
  },
  'acquire as a reader': () => use(tryLock(NAME, { ...options, shared: true })),
  release: () => {
    disarm();
    const held = lockSync(NAME, options);
    arm();
    held.release();
    return 'released';
  },
  'acquire in scope user': () => use(tryLock(NAME, options)),
  'keep the file looking used': () => {
    disarm();
    const held = addon.tryAcquire(path, false, '', false);
    arm();
    addon.touch(held);
    disarm();
    addon.release(held);
    return 'touched';
  },
  'ask for a held one': async () => {
    disarm();
    const other = await holder();
    try {
      arm();
      return use(tryLock(NAME, options));
    } finally {
      await other.end();
    }
  },
  'wait until it is free': async () => {
    disarm();
    const other = await holder();
    arm();
    const pending = lock(NAME, { ...options, wait: true });
    await waits(pending).finally(other.end);
    return use(await pending);
  },
  'wait, blocking, until time runs out': async () => {
    disarm();
    const other = await holder();
    try {
      arm();
      return use(lockSync(NAME, { ...options, wait: 50 }));
    } finally {
      await other.end();
    }
  },
  'cancel a wait': async () => {
    disarm();
    const other = await holder();
    const controller = new AbortController();
    try {
      arm();
      const pending = lock(NAME, { ...options, wait: true, signal: controller.signal });
      await waits(pending);
      controller.abort();
      return use(await pending);
    } finally {
      disarm();
      // Where the thread can't be told, it waits on, and lets go at once of what it gets.
      if (fault[0] === PTHREAD_KILL) await other.end();
      await until(() => inspect(NAME, options).waiters === 0);
      await other.end();
    }
  },
  'lose a watched lock': async () => {
    disarm();
    const [place, way] = [join(directory, 'place'), join(directory, 'way')];
    mkdirSync(place);
    symlinkSync(place, way);
    const held = lockSync(NAME, { directory: way });
    arm();
    const { signal } = held;
    renameSync(place, `${place}.old`);
    await until(() => signal.aborted); // which keeps no process alive
    held.release();
    return 'told';
  },
  'ask the lock itself who holds it': async () => {
    disarm();
    const other = await holder();
    arm();
    const state = addon.lockState(path);
    await other.end();
    return state ?? 'unknown';
  },
  'become a program that holds it': () => {
    const judge = 'flock --nonblock "$0" true && echo free || echo held';
    return cli(LIMITED, 'run', NAME, '--directory', directory, '--', 'sh', '-c', judge, path);
  },
  'become a program that ends with this one': () =>
    cli([process.execPath], '--under', String(process.pid), 'echo', 'started'),
  'end the holder': async () => {
    disarm();
    const other = await holder();
    try {
      arm();
      return `killed: ${await killRunning(NAME, options)}`;
    } finally {
      await other.end();
    }
  },
};

if (!scenario.startsWith('acquire a new file')) tryLock(NAME, { directory }).release();
checkRunning(NAME, { directory });
spawnSync('true', { env: plainEnv });
await once(spawn('true', { env: plainEnv }), 'close'); // Node.js keeps a descriptor for its pipes
const count = (what) => readdirSync(`/proc/self/${what}`).length;
const before = { fd: count('fd'), task: count('task') };
let outcome;
arm();
try {
  outcome = { result: await scenarios[scenario]() };
} catch (error) {
  const { name, code, syscall, errno, message } = error;
  outcome = { error: { name, code, syscall, errno, message, own: error instanceof LockError } };
}
disarm();
// Kept for the process: the queue of inotify and the table of mounts; a thread that waits for the
// next wait, and the one that listens to the queue.
const allowed = { fd: scenario.startsWith('lose') ? 2 : 0, task: 2 };
const left = {};
for (const what of ['fd', 'task']) {
  await until(() => count(what) <= before[what] + allowed[what]).catch(() => {
    left[what] = count(what) - before[what];
  });
}
console.log(JSON.stringify({ ...outcome, left, free: isFree() }));
