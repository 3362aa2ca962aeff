// Kills the holder of 'bot' in argv[3], and stops right before what argv[2] names: calls of the native
// part with commas between, the first of each; or the first file that a function of the package reads.
// It says `paused`, and goes on when it is told to. argv[4]: its timeout.
import fs, { readSync, writeSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';

const [, , calls, directory, timeout = '20000'] = process.argv;
const native = createRequire(import.meta.url)('../../build/Release/kernel_lock.node');
const left = new Set(calls.split(','));
const pause = (call) => {
  if (!left.delete(call)) return;
  writeSync(1, 'paused\n');
  readSync(0, Buffer.alloc(1));
};
for (const call of [...left]) {
  if (call in native) {
    const really = native[call];
    native[call] = (...args) => {
      pause(call);
      return really(...args);
    };
  } else {
    const really = fs.readFileSync;
    fs.readFileSync = (...args) => {
      if (new Error().stack.includes(`at ${call} `)) pause(call);
      return really(...args);
    };
    syncBuiltinESMExports();
  }
}

const { killRunning } = await import('../../dist/index.js');
const options = { directory, force: true, timeout: Number(timeout) };
const told = await killRunning('bot', options).catch(({ code, message }) => ({ code, message }));
console.log(JSON.stringify(told));
