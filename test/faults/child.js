// One process in which one call of the addon fails: node child.js DIST CONTROL LOCK-DIRECTORY
// SCENARIO CALL NUMBER ERRNO. Prints what came of it as JSON; run.js judges.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, controlFile, directory, scenario, ...fault] = process.argv.slice(2);
const { checkRunning, inspect, killRunning, lock, LockError, lockPath, lockSync, tryLock } =
  await import(pathToFileURL(join(dist, 'index.js')).href);
const addon = createRequire(import.meta.url)(join(dist, '../build/Release/kernel_lock.node'));
const control = openSync(controlFile, 'r+');
const NAME = 'bot';
const options = { directory };
const path = lockPath(NAME, options);
const { LD_PRELOAD: _, ...plainEnv } = process.env;

const arm = () => writeSync(control, new Int32Array([...fault.map(Number), 0]), 0, 16, 0);
const disarm = () => writeSync(control, new Int32Array([0]), 0, 4, 0);
function seen() {
  const numbers = new Int32Array(4);
  readSync(control, numbers, 0, 16, 0);
  return numbers[3];
}

async function until(holds) {
  const patience = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > patience) throw new Error(`never: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

// flock(1) as a judge that knows nothing of this package.
const isFree = (mode = '--exclusive') =>
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

const scenarios = {
  'acquire a new file': () => use(tryLock(NAME, options)),
  'acquire a file that is there': () => use(tryLock(NAME, options)),
  'acquire as a reader': () => use(tryLock(NAME, { ...options, shared: true })),
  release: () => {
    disarm();
    const held = lockSync(NAME, options);
    arm();
    held.release();
    return 'released';
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
    await waits(pending);
    await other.end();
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
    const args = ['run', NAME, '--directory', directory, '--', 'sh', '-c', judge, path];
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [join(dist, 'cli.js'), ...args],
      { encoding: 'utf8' },
    );
    if (status === 0) return stdout.trim();
    const told = signal === 'SIGABRT' ? stderr.includes('bad_alloc') : stderr !== '';
    return told ? 'refused' : `ended with ${signal ?? status}`;
  },
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

if (scenario !== 'acquire a new file') tryLock(NAME, options).release();
checkRunning(NAME, options);
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
const injected = seen();
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
console.log(JSON.stringify({ ...outcome, seen: injected, left, free: isFree() }));
