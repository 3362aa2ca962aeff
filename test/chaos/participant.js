// One that acquires and waits at random, as a process or as a thread of one. The process makes
// threads, terminates them, and says at the end what it has left open.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads';
import { resources } from '../support/resources.js';
import { random } from './random.js';
import { Sections } from './section.js';

const settings = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const { directory, locks, library, names, seed, noLock } = settings;
const { lock, lockSync, tryLock, inspect, list, checkRunning, LockError } = await import(library);
const id = isMainThread ? settings.id : `${settings.id}.${threadId}`;
const chance = random(seed);
const EXPECTED = ['LOCK_HELD', 'LOCK_TIMEOUT'];
/** What running out of descriptors, also by another thread of the process, or of disk may lead to. */
const EXHAUSTED = [...EXPECTED, 'LOCK_SYSTEM', 'LOCK_PERMISSION'];

/** Of a participant that holds and waits for nothing: a thread stays for the next wait, one watches files. */
const AT_REST = { 'lock file': 0, thread: 2 };

const CANCELLED = new Error('cancelled');
let stopping = false;

const alive = join(directory, 'alive', id);
writeFileSync(alive, '');
const sections = new Sections(directory, id);
for (const name of names) sections.prepare(name);

if (isMainThread) await mainThread();
else await thread();

async function mainThread() {
  await warmUp();
  const before = { ...resources(locks), ...AT_REST };
  process.send({ ready: true });
  process.on('message', () => {
    stopping = true;
  });
  const threads = settings.threads > 0 ? keepThreads() : undefined;
  const done = participate();
  await done;
  await threads;
  process.send({ before, left: await settled(before) });
  process.disconnect();
}

async function thread() {
  parentPort.on('message', () => {
    stopping = true;
  });
  await participate();
  parentPort.close();
}

async function participate() {
  while (!stopping) {
    if (chance.chance(0.01) && isMainThread && settings.mayStarve) await starve();
    await step();
  }
  sections.close();
  unlinkSync(alive);
}

async function step() {
  const name = chance.pick(names);
  const options = { directory: locks, shared: chance.chance(0.3) };
  const kind = chance.next();
  try {
    if (kind < 0.05) inspect(name, { directory: locks });
    else if (kind < 0.07) list({ directory: locks });
    else if (kind < 0.1) checkRunning(name, { directory: locks });
    else await inside(name, options, await acquire(kind, name, options));
  } catch (error) {
    // A cancelled wait rejects with the signal's reason.
    if (error === CANCELLED) return;
    if (!(error instanceof LockError)) throw error;
    if (!(settings.mayStarve || settings.fullDisk ? EXHAUSTED : EXPECTED).includes(error.code))
      throw error;
  }
}

async function acquire(kind, name, options) {
  if (noLock) return { signal: new AbortController().signal, release() {} };
  if (kind < 0.3) return tryLock(name, options);
  if (kind < 0.4) return lockSync(name, { ...options, wait: 1 + chance.below(5) });
  if (kind < 0.6) return lock(name, { ...options, wait: chance.below(50) });
  if (kind < 0.7) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(CANCELLED), chance.below(20));
    try {
      return await lock(name, { ...options, wait: true, signal: controller.signal });
    } finally {
      clearTimeout(timer);
    }
  }
  return lock(name, { ...options, wait: true });
}

async function inside(name, { shared }, held) {
  if (held === null) {
    await new Promise((next) => setImmediate(next));
    return;
  }
  if (chance.chance(0.1)) held.signal.throwIfAborted();
  await (shared ? sections.shared(name, work) : sections.exclusive(name, work));
  held.release();
}

// Mostly nothing; now and then long enough for others to come, or a child process that must not
// inherit the lock.
async function work() {
  const kind = chance.next();
  if (kind < 0.2) await new Promise((next) => setImmediate(next));
  else if (kind < 0.25) await new Promise((next) => setTimeout(next, chance.below(5)));
  else if (kind < 0.252 && !settings.mayStarve) execFileSync('true', { stdio: 'ignore' });
}

// Uses up the descriptors, and goes on for a while.
async function starve() {
  const taken = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  for (const spare of taken.splice(0, chance.below(3))) closeSync(spare);
  for (let steps = 0; steps < 20; steps++) await step();
  for (const file of taken) closeSync(file);
}

async function keepThreads() {
  let count = 0;
  const slots = Array.from({ length: settings.threads }, async (_, slot) => {
    while (!stopping) await liveAndDie(seed + 1000 * ++count + slot);
  });
  await Promise.all(slots);
}

async function liveAndDie(seedOfThread) {
  const workerData = { ...settings, seed: seedOfThread };
  let worker;
  try {
    worker = new Worker(new URL(import.meta.url), { workerData });
  } catch (error) {
    return outOfDescriptors(error);
  }
  const ended = once(worker, 'exit');
  const thread = `${id}.${worker.threadId}`;
  const timer = setTimeout(() => {
    process.send({ terminated: thread });
    worker.terminate();
  }, 20 + chance.below(2000));
  const stop = setInterval(() => {
    if (stopping) worker.postMessage('stop');
  }, 20);
  worker.on('error', (error) => {
    process.send({ terminated: thread });
    outOfDescriptors(error);
  });
  await ended.catch(() => {});
  clearTimeout(timer);
  clearInterval(stop);
  forget(thread);
}

// A thread may find none left to begin with.
async function outOfDescriptors(error) {
  const none = ['EMFILE', 'ERR_WORKER_INIT_FAILED', 'ERR_DLOPEN_FAILED', 'LOCK_NATIVE'];
  if (!settings.mayStarve || !none.includes(error.code)) throw error;
  await new Promise((next) => setTimeout(next, 20));
}

function forget(ended) {
  try {
    unlinkSync(join(directory, 'alive', ended));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

// What is made on first use is made before it is counted.
async function warmUp() {
  const options = { directory: locks };
  const name = `warm-${process.pid}`;
  const held = lockSync(name, options);
  held.signal.throwIfAborted();
  const waiting = lock(name, { ...options, wait: true });
  held.release();
  (await waiting).release();
  execFileSync('true', { stdio: 'ignore' });
  if (settings.threads > 0) {
    await once(new Worker('', { eval: true }), 'exit');
  }
}

// Threads end a moment after their work.
async function settled(before) {
  const end = performance.now() + 5000;
  for (;;) {
    const left = resources(locks);
    if (isDeepStrictEqual(left, before) || performance.now() > end) return left;
    await new Promise((next) => setTimeout(next, 5));
  }
}
