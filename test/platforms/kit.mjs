// What the conformance cases work with, on any runtime.
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

export { startTimeOf } from './start-time.mjs';

const [packageDirectory, scratch] = process.argv.slice(2).map((path) => resolve(path));
const here = fileURLToPath(new URL('.', import.meta.url));
export const library = pathToFileURL(join(packageDirectory, 'dist', 'index.js')).href;
export const {
  lock,
  lockSync,
  tryLock,
  withLock,
  inspect,
  list,
  lockPath,
  checkRunning,
  killRunning,
  LockError,
} = await import(library);

export const onWindows = process.platform === 'win32';
// An emulator does not reach the children of its own accord; Deno wants to be told that a child may
// do everything.
export const [runtime, ...emulated] = [
  ...JSON.parse(process.env.CONFORMANCE_UNDER ?? '[]'),
  process.execPath,
];
export const cliFile = join(packageDirectory, 'dist', 'cli.js');
const runtimeArgs = [...emulated, ...(globalThis.Deno ? ['run', '--allow-all'] : [])];

/** Thrown by a case that can't be run here, with the reason. */
export class NotRun extends Error {}

export class Actor {
  #answers = new Map();
  #child;
  #next = 1;

  constructor(options) {
    this.#child = spawn(runtime, [...runtimeArgs, join(here, 'actor.mjs'), library], {
      stdio: ['pipe', 'pipe', 'inherit'],
      ...options,
    });
    this.ended = new Promise((done) =>
      this.#child.on('exit', (code, signal) => done(signal ?? code)),
    );
  }

  /** `options`: its `env` and `cwd`, where they are not this process's. */
  static async start(options) {
    const actor = new Actor(options);
    actors.add(actor);
    createInterface({ input: actor.#child.stdout }).on('line', (line) => {
      const { id, ...answer } = JSON.parse(line);
      actor.#answers.get(id)?.(answer);
    });
    actor.ended.then(() => {
      for (const answer of actor.#answers.values()) answer({ error: { code: 'ENDED' } });
    });
    const { value } = await new Promise((ready) => actor.#answers.set(0, ready));
    actor.pid = value;
    return actor;
  }

  async ask(verb, ...args) {
    const id = this.#next++;
    const { value, error } = await new Promise((answer) => {
      this.#answers.set(id, answer);
      this.#child.stdin.write(`${JSON.stringify({ id, verb, args })}\n`);
    });
    if (error) throw Object.assign(new Error(error.message), error);
    return value;
  }

  async kill() {
    actors.delete(this);
    this.#child.kill('SIGKILL');
    return this.ended;
  }
}

export const actors = new Set();

export function command(...args) {
  const child = spawn(runtime, [...runtimeArgs, cliFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  return new Promise((done) =>
    child.on('close', (code, signal) => done({ status: signal ?? code, stdout, stderr })),
  );
}

export function equal(actual, wanted, what = 'value') {
  const [a, w] = [actual, wanted].map((value) => JSON.stringify(value));
  if (a !== w) throw new Error(`${what}: expected ${w}, got ${a}`);
}

export async function codeOf(call) {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error.code ?? String(error);
  }
}

// On Windows the kernel may take a moment to free what a dead process held, and under an emulator a
// program takes some seconds to start.
export async function soon(condition) {
  const end = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not come about');
    await new Promise((next) => setTimeout(next, 5));
  }
}

/** The `directory` option with a new directory. */
export const at = () => ({ directory: mkdtempSync(join(scratch, 'case-')) });

/**
 * Runs the cases one after the other, prints how many there are, a line for each and the counts, and
 * ends the process. What they started is ended after each.
 */
export async function runAll(cases) {
  console.log(`${Object.keys(cases).length} cases`);
  const counts = { passed: 0, failed: 0, notRun: 0 };
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run();
      counts.passed++;
      console.log(`ok      ${name}`);
    } catch (error) {
      const missing = error instanceof NotRun;
      counts[missing ? 'notRun' : 'failed']++;
      console.log(
        missing ? `not run ${name}: ${error.message}` : `FAILED  ${name}: ${error.stack}`,
      );
    } finally {
      for (const actor of actors) await actor.kill();
    }
  }
  const { passed, failed, notRun } = counts;
  console.log(`${passed} passed, ${failed} failed, ${notRun} not run`);
  process.exit(failed === 0 ? 0 : 1);
}
