// Kills the holder of 'bot' in argv[3], and stops right before the system call that argv[2] names:
// it says `paused`, and goes on when it is told to. What it calls is the native part itself.
import { readSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { killRunning } from '../../dist/index.js';

const [, , call, directory] = process.argv;
const native = createRequire(import.meta.url)('../../build/Release/kernel_lock.node');
const really = native[call];
native[call] = (...args) => {
  writeSync(1, 'paused\n');
  readSync(0, Buffer.alloc(1));
  return really(...args);
};

const told = await killRunning('bot', { directory, force: true, timeout: 2000 }).catch(
  ({ code, message }) => ({ code, message }),
);
console.log(JSON.stringify(told));
