// What only kernel-lock is asked for: node --expose-gc own.js DIRECTORY
import { lock, lockSync, tryLock } from 'kernel-lock';
import { now, serve } from './protocol.js';

const directory = process.argv[2];
const options = { directory };
const CHUNK = 100;
const endless = { directory, wait: true };
const kept = [];
let turns = [];

const memory = () => {
  for (let i = 0; i < 4; i++) globalThis.gc();
  return { resident: process.memoryUsage.rss(), heap: process.memoryUsage().heapUsed };
};

serve({
  hold: (count) => {
    for (let i = 0; i < Number(count); i++) kept.push(lockSync(`n${i}`, options));
    return true;
  },
  drop: () => {
    for (const held of kept.splice(0)) held.release();
    return true;
  },
  // Waits for each of the names that `hold` takes.
  pend: (count) => {
    for (let i = 0; i < Number(count); i++) lock(`n${i}`, endless).then((held) => kept.push(held));
    return true;
  },
  // `count` waits for one name, each of which gives way at once; `report` tells when.
  queue: (count) => {
    turns = Array.from({ length: Number(count) }, async () => {
      const held = await lock('turn', endless);
      const acquired = now();
      const released = now();
      held.release();
      return [acquired, released];
    });
    return { waiting: true };
  },
  report: () => Promise.all(turns),
  // All of the names at once; what one costs, as floor.c has it.
  many: (count) => {
    const chunks = Number(count) / CHUNK;
    const locks = [];
    const acquired = [now()];
    for (let i = 0; i < chunks; i++) {
      for (let k = 0; k < CHUNK; k++) locks.push(tryLock(`n${i * CHUNK + k}`, options));
      acquired.push(now());
    }
    const released = [now()];
    for (let i = 0; i < chunks; i++) {
      for (let k = 0; k < CHUNK; k++) locks[i * CHUNK + k].release();
      released.push(now());
    }
    const samples = [];
    for (let i = 0, late = Math.floor(chunks / 2); late < chunks; i++, late++) {
      const both = acquired[late + 1] - acquired[late] + released[i + 1] - released[i];
      samples.push(both / CHUNK);
    }
    return { samples };
  },
  // What a lock beyond the first hundred adds, once the code is warm and the files are there.
  memory: (count) => {
    const total = Number(count);
    for (let i = 0; i < total; i++) tryLock(`n${i}`, options).release();
    kept.length = 0;
    for (let i = 0; i < 100; i++) kept.push(tryLock(`n${i}`, options));
    const before = memory();
    for (let i = 100; i < total; i++) kept.push(tryLock(`n${i}`, options));
    const after = memory();
    for (const held of kept.splice(0)) held.release();
    const per = (field) => (after[field] - before[field]) / (total - 100);
    return { resident: per('resident'), heap: per('heap') };
  },
});
