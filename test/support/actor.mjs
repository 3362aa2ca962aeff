// A process that does as it is told over IPC: { id, verb, args } → { id, value } or { id, error }.
// It announces itself with { ready: true } and ends when its parent does.
import { spawn } from 'node:child_process';
import { checkRunning, inspect, lock, lockSync, tryLock } from '../../dist/index.js';

const locks = new Map();
const pending = new Map();
let next = 1;

function keep(held) {
  if (held === null) return null;
  const id = next++;
  locks.set(id, held);
  return id;
}

const verbs = {
  lock: async (name, options) => keep(await lock(name, options)),
  lockSync: (name, options) => keep(lockSync(name, options)),
  tryLock: (name, options) => keep(tryLock(name, options)),
  // `{ event: label }` is sent when the lock is lost.
  watch: (id, label) => {
    const { signal } = locks.get(id);
    signal.addEventListener('abort', () =>
      process.send({ event: label, error: plain(signal.reason) }),
    );
  },
  release: (id) => {
    locks.get(id).release();
    locks.delete(id);
  },
  // Holds on until the kernel says that somebody waits.
  releaseWhenWaitedFor: (id, name, options) => {
    while (!inspect(name, options).waiters);
    locks.get(id).release();
  },
  // Waits without being waited for: `{ event: label }` is sent when it has the lock.
  lockLater: (label, name, options) => {
    const controller = new AbortController();
    pending.set(label, controller);
    lock(name, { ...options, signal: controller.signal }).then(
      (held) => process.send({ event: label, value: keep(held) }),
      (error) => process.send({ event: label, error: plain(error) }),
    );
  },
  abort: (label) => pending.get(label).abort(),
  inspect: (name, options) => inspect(name, options),
  // `rounds` acquisitions and releases; how many were refused.
  churn: (name, options, rounds) => {
    let refused = 0;
    for (let i = 0; i < rounds; i++) {
      const held = tryLock(name, options);
      if (held === null) refused++;
      else held.release();
    }
    return refused;
  },
  checks: (name, options, rounds) => {
    let held = 0;
    for (let i = 0; i < rounds; i++) if (checkRunning(name, options)) held++;
    return held;
  },
  // A child that outlives this process, with descriptors as the operating system passes them on.
  spawnSurvivor: () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
    child.unref();
    return child.pid;
  },
  exit: (code) => process.exit(code),
};

function plain({ name, code, message, holder, syscall, errno }) {
  return { name, code, message, holder, syscall, errno };
}

process.on('message', async ({ id, verb, args }) => {
  try {
    process.send({ id, value: (await verbs[verb](...args)) ?? null });
  } catch (error) {
    process.send({ id, error: plain(error) });
  }
});
process.on('disconnect', () => process.exit());
process.send({ ready: true });
