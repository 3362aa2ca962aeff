// A process that locks as it is told over IPC, and tells when it has lost its lock.
import { lock } from '../../../dist/postgres.js';

const [connectionString, heartbeat] = process.argv.slice(2);
const at = { connectionString, ...(heartbeat ? { heartbeat: Number(heartbeat) } : {}) };
let held;

const verbs = {
  lock: async (name, options) => {
    held = await lock(name, { ...at, ...options });
    held.signal.addEventListener('abort', () => {
      const { code, message } = held.signal.reason;
      process.send({ event: 'lost', value: { code, message } });
    });
    return String(held.token);
  },
  release: () => held.release(),
};

process.on('message', async ({ id, verb, args }) => {
  try {
    process.send({ id, value: await verbs[verb](...args) });
  } catch ({ name, code, message }) {
    process.send({ id, error: { name, code, message } });
  }
});
process.on('disconnect', () => process.exit());
process.send({ event: 'ready' });
