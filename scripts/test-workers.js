// npm run test:workers [-- --workers N]: 1,000 worker threads that are terminated while they hold, while
// they wait, while they are served, and while they do all of it and watch. Exits 1 where a lock, a
// descriptor, a thread or memory is left behind.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { resources } from '../test/support/resources.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '1000' },
    /** Another copy of the package. */
    package: { type: 'string', default: root },
  },
});
const library = pathToFileURL(join(values.package, 'dist/index.js')).href;
const { inspect, lock, tryLock } = await import(library);
const directory = mkdtempSync(join(tmpdir(), 'kernel-lock-workers-'));
// Also where it fails, while workers are still about: one may make its file anew in between.
process.on('exit', () => rmSync(directory, { recursive: true, maxRetries: 5 }));
const options = { directory };
const total = Number(values.workers);
const ABREAST = 4;
/** From here on memory is judged; before, it is the allocator that grows. */
const WARM = 400;
const MARGIN = 16 * 2 ** 20;

const WAYS = {
  holds: `lockSync('held', { ...options, shared: true }); say();`,
  'holds and watches': `lockSync('held', { ...options, shared: true }).signal; say();`,
  waits: `lock('busy', { ...options, wait: true }); say();`,
  'waits, blocking': `say(); lockSync('busy', { ...options, wait: true });`,
  'is served': `for (let i = 0; i < 20; i++) lock('turns', { ...options, wait: true }).then((mine) => mine.release());
    say();`,
  'does all of it': `lockSync('held', { ...options, shared: true }).signal;
    lock('turns', { ...options, wait: true }).then((mine) => mine.signal);
    const controller = new AbortController();
    lock('busy', { ...options, wait: true, signal: controller.signal }).catch(() => {});
    controller.abort();
    say(); lockSync('busy', { ...options, wait: 60_000 });`,
};

async function cycle(number) {
  const body = Object.values(WAYS)[number % Object.keys(WAYS).length];
  const program = `
    const { parentPort } = require('node:worker_threads');
    const options = ${JSON.stringify(options)};
    const say = () => parentPort.postMessage('done');
    import(${JSON.stringify(library)}).then(({ lock, lockSync }) => { ${body} });
    setInterval(() => {}, 1000);`;
  const worker = new Worker(program, { eval: true });
  await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
  await worker.terminate();
}

const residentBytes = () =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const left = () => resources(directory);

/** Waits for it, 20 seconds at the most. */
async function until(condition) {
  const patience = performance.now() + 20_000;
  while (!condition() && performance.now() < patience) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function fail(...problems) {
  console.log(problems.join('\n'));
  process.exit(1);
}

const busy = await lock('busy', options);
// What is opened once and kept: the queue of inotify, the thread at it, the one for waits.
const watched = await lock('watched', options);
watched.signal.addEventListener('abort', () => {});
watched.release();
for (let number = 0; number < Object.keys(WAYS).length; number++) await cycle(number);
// A terminated worker's wait is given up a moment after it: what stays is known.
const idle = () => left()['lock file'] === 1 && left().thread === 2;
await until(idle);
if (!idle()) fail(`not quiet at first: ${JSON.stringify(left())}`);
const before = left();

let next = 0;
let warm = Number.POSITIVE_INFINITY;
const lane = async () => {
  while (next < total) {
    if (next === WARM) warm = residentBytes();
    await cycle(next++);
  }
};
await Promise.all(Array.from({ length: ABREAST }, lane));

const problems = [];
const names = ['held', 'turns', 'busy'];
const quiet = () => {
  const now = left();
  return (
    isDeepStrictEqual(now, before) && names.every((name) => inspect(name, options).waiters === 0)
  );
};
await until(quiet);
const grown = residentBytes() - warm;
if (!quiet()) problems.push(`before ${JSON.stringify(before)}, after ${JSON.stringify(left())}`);
busy.release();
for (const name of names) {
  const mine = tryLock(name, options);
  if (mine === null) problems.push(`'${name}' is still held`);
  mine?.release();
}
if (grown > MARGIN) problems.push(`${Math.round(grown / 2 ** 20)} MiB more memory`);
const memory = grown === Number.NEGATIVE_INFINITY ? '' : `, ${(grown / 2 ** 20).toFixed(1)} MiB`;
if (problems.length > 0) fail(...problems);
console.log(`${total} workers came and went, nothing left${memory}`);
process.exit();
