// A process that obeys lines of JSON on its standard input: { id, verb, args } is answered by
// { id, value } or { id, error } in a line. Plain streams, because not every runtime has Node's
// channel. It ends with its input.
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { startTimeOf } from './start-time.mjs';

const { lock, lockPath, lockSync, tryLock, inspect, SingleInstance } = await import(
  process.argv[2]
);
const locks = new Map();
let next = 1;

function keep(held) {
  if (held === null) return null;
  locks.set(next, held);
  return next++;
}

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
const shutdowns = {
  ends: () => {},
  lasts: async (file) => {
    // Time for what came with the signal to be told.
    await new Promise((next) => setTimeout(next, 100));
    writeFileSync(file, 'done');
  },
  waits: () => new Promise(() => {}),
  blocks: () => {
    const end = performance.now() + 20_000;
    while (performance.now() < end);
  },
};
const verbs = {
  lock: async (name, options) => keep(await lock(name, options)),
  lockSync: (name, options) => keep(lockSync(name, options)),
  tryLock: (name, options) => keep(tryLock(name, options)),
  inspect,
  lockPath,
  singleInstance: (name, options, file, how) => {
    const onShutdown = (signal) => {
      writeFileSync(file, signal);
      return shutdowns[how](file);
    };
    new SingleInstance(name, { ...options, onShutdown, logger: quiet });
  },
  startTime: () => startTimeOf(process.pid),
  release: (id) => locks.get(id).release(),
};

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { id, verb, args } = JSON.parse(line);
    try {
      say({ id, value: (await verbs[verb](...args)) ?? null });
    } catch ({ code, message, holder }) {
      say({ id, error: { code, message, holder } });
    }
  })
  .on('close', () => process.exit());
say({ id: 0, value: process.pid });
