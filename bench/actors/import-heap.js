// node --expose-gc: the heap that an import takes, and the time that it takes, seen from inside.
globalThis.gc();
const before = process.memoryUsage().heapUsed;
const start = process.hrtime.bigint();
await import('kernel-lock');
const nanoseconds = Number(process.hrtime.bigint() - start);
globalThis.gc();
process.stdout.write(
  JSON.stringify({ heap: process.memoryUsage().heapUsed - before, nanoseconds }),
);
