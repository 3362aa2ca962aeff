// One contestant in one process: node locker.js CONTESTANT PATH
import { CONTESTANTS } from './contestants.js';
import { answer, now, serve, sleep } from './protocol.js';

const MAX_SAMPLES = 4000;
const QUIET_MS = 3; // as in floor.c

const [, , name, path] = process.argv;
const { cycle, cycleAsync, acquire } = CONTESTANTS[name](path);
let release;

function cycles(ms, batch) {
  const samples = [];
  let before = now();
  const end = before + ms * 1e6;
  while (before < end && samples.length < MAX_SAMPLES) {
    for (let i = 0; i < batch; i++) cycle();
    const after = now();
    samples.push((after - before) / batch);
    before = after;
  }
  return samples;
}

async function cyclesAsync(ms, batch) {
  const samples = [];
  let before = now();
  const end = before + ms * 1e6;
  while (before < end && samples.length < MAX_SAMPLES) {
    for (let i = 0; i < batch; i++) await cycleAsync();
    const after = now();
    samples.push((after - before) / batch);
    before = after;
  }
  return samples;
}

serve({
  cycle: (ms, batch) => (cycle ? cycles : cyclesAsync)(Number(ms), Number(batch)),
  wait: async () => {
    answer({ waiting: true });
    release = await acquire();
    return { at: now() };
  },
  release: async () => {
    // Who sent the command, and who reads the answer, must be asleep meanwhile.
    await sleep(QUIET_MS);
    const at = now();
    await release();
    await sleep(QUIET_MS);
    return { at };
  },
});
