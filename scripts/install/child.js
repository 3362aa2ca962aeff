// Programs that run to their end, each with its descendants in a process group of its own, so that
// none of them outlives the test.
import { spawn } from 'node:child_process';

const MINUTES = 10;
const running = new Map();
let over = false;

/** @returns {Promise<{ status: number | string, output: string }>} */
export function run(command, args, { cwd, env }) {
  if (over) throw new Error('interrupted');
  const child = spawn(command, args, {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const timer = setTimeout(() => killGroup(child), MINUTES * 60_000);
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ status: error.code, output: String(error) }));
    child.on('close', (code, signal) => resolve({ status: signal ?? code, output }));
  }).finally(() => {
    clearTimeout(timer);
    killGroup(child);
    running.delete(child);
  });
  running.set(child, ended);
  return ended;
}

/** Ends every program that is running, and waits until it is gone; no other is started. */
export async function endAll() {
  over = true;
  for (const child of running.keys()) killGroup(child);
  await Promise.all(running.values());
}

function killGroup(child) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
