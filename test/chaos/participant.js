// One that acquires and waits at random, as a process or as a thread of one. The process makes
// threads, terminates them, and says at the end what it has left open.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
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
const { EMFILE, ENOSPC } = constants.errno;

/** What the runner is told the numbers of, and the numbers, of all threads of the process. */
const COUNTED = ['starved', 'EMFILE', 'ENOSPC', 'cancelled', 'asked', 'notStarted'];
const counted = settings.counted ?? sharedNumbers(COUNTED.length);
/** Goes up when the main thread starts to use up the descriptors, and when it has given them back. */
const famine = settings.famine ?? sharedNumbers(1);

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
  // Now and then, because many are killed: no more than this is lost with them.
  const telling = setInterval(tell, 200);
  const threads = settings.threads > 0 ? keepThreads() : undefined;
  const done = participate();
  await done;
  await threads;
  clearInterval(telling);
  tell();
  process.send({ before, left: await settled(before) });
  process.disconnect();
}

function sharedNumbers(length) {
  return new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
}

function count(what) {
  Atomics.add(counted, COUNTED.indexOf(what), 1);
}

function tell() {
  const news = COUNTED.map((what, index) => [what, Atomics.exchange(counted, index, 0)]);
  process.send({ counted: Object.fromEntries(news) });
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
  const before = Atomics.load(famine, 0);
  try {
    if (kind < 0.1) ask(kind, name);
    else await inside(name, options, await acquire(kind, name, options));
  } catch (error) {
    if (!(error instanceof LockError)) throw error;
    // Of descriptors, also where it is the main thread that uses them up, and has begun or ended since.
    const starved = before % 2 === 1 || Atomics.load(famine, 0) !== before;
    if (error.errno === EMFILE && starved) count('EMFILE');
    else if (error.errno === ENOSPC && settings.fullDisk) count('ENOSPC');
    else throw error;
  }
}

function ask(kind, name) {
  if (kind < 0.05) inspect(name, { directory: locks });
  else if (kind < 0.07) list({ directory: locks });
  else checkRunning(name, { directory: locks });
  count('asked');
}

/** A lock; or null where it was not to be had in time. A wait without end has none to run out. */
async function acquire(kind, name, options) {
  if (noLock) return { signal: new AbortController().signal, release() {} };
  if (kind < 0.3) return tryLock(name, options);
  if (kind < 0.6) return acquireInTime(kind, name, options);
  if (kind < 0.7) return acquireUnlessCancelled(name, options);
  return lock(name, { ...options, wait: true });
}

async function acquireInTime(kind, name, options) {
  try {
    if (kind < 0.4) return lockSync(name, { ...options, wait: 1 + chance.below(5) });
    return await lock(name, { ...options, wait: chance.below(50) });
  } catch (error) {
    if (error.code === 'LOCK_TIMEOUT') return null;
    throw error;
  }
}

async function acquireUnlessCancelled(name, options) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(CANCELLED), chance.below(20));
  try {
    return await lock(name, { ...options, wait: true, signal: controller.signal });
  } catch (error) {
    if (error !== CANCELLED) throw error;
    count('cancelled');
    return null;
  } finally {
    clearTimeout(timer);
  }
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
  Atomics.add(famine, 0, 1);
  count('starved');
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  for (const spare of taken.splice(0, chance.below(3))) closeSync(spare);
  for (let steps = 0; steps < 20; steps++) await step();
  for (const file of taken) closeSync(file);
  Atomics.add(famine, 0, 1);
}

async function keepThreads() {
  let count = 0;
  const slots = Array.from({ length: settings.threads }, async (_, slot) => {
    while (!stopping) await liveAndDie(seed + 1000 * ++count + slot);
  });
  await Promise.all(slots);
}

async function liveAndDie(seedOfThread) {
  const workerData = { ...settings, counted, famine, seed: seedOfThread };
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
  const failure = await ended.then(
    () => undefined,
    (error) => error,
  );
  clearTimeout(timer);
  clearInterval(stop);
  forget(thread);
  if (failure !== undefined) await outOfDescriptors(failure);
}

// A thread may find none left to begin with.
async function outOfDescriptors(error) {
  const none = ['EMFILE', 'ERR_WORKER_INIT_FAILED', 'ERR_DLOPEN_FAILED', 'LOCK_NATIVE'];
  if (!settings.mayStarve || !none.includes(error.code)) throw error;
  count('notStarted');
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
