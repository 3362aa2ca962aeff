// Kills the holder of 'bot' in argv[3], and stops right before what argv[2] names: a call of the native
// part, or the first file that a function of the package reads. It says `paused`, and goes on when it is
// told to.
import fs, { readSync, writeSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';

const [, , call, directory] = process.argv;
const native = createRequire(import.meta.url)('../../build/Release/kernel_lock.node');
let paused = false;
const pause = () => {
  if (paused) return;
  paused = true;
  writeSync(1, 'paused\n');
  readSync(0, Buffer.alloc(1));
};
if (call in native) {
  const really = native[call];
  native[call] = (...args) => {
    pause();
    return really(...args);
  };
} else {
  const really = fs.readFileSync;
  fs.readFileSync = (...args) => {
    if (new Error().stack.includes(`at ${call} `)) pause();
    return really(...args);
  };
  syncBuiltinESMExports();
}

const { killRunning } = await import('../../dist/index.js');
const told = await killRunning('bot', { directory, force: true, timeout: 20_000 }).catch(
  ({ code, message }) => ({ code, message }),
);
console.log(JSON.stringify(told));
