// Programs that run to their end, and what they said.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
/** A program of Python; see there. */
export const TERMINAL = fileURLToPath(new URL('./terminal.py', import.meta.url));
export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

export interface Finished {
  /** Exit status, or the signal that ended it. */
  status: number | string;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  pid: number;
  finished: Promise<Finished>;
  /** Resolves to stdout when that has shown the text; rejects when the program ends before. */
  says(text: string | RegExp): Promise<string>;
}

export function start(command: string, args: string[], options: SpawnOptions = {}): Running {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
    for (const watcher of watchers) watcher();
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ status: signal ?? (code as number), stdout, stderr }),
    );
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await finished.catch(() => {});
  });
  return {
    child,
    pid: child.pid as number,
    finished,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (typeof text === 'string' ? stdout.includes(text) : text.test(stdout)) resolve(stdout);
        };
        watchers.add(look);
        look();
        finished.then(
          (end) => reject(new Error(`ended with ${end.status} before "${text}": ${end.stderr}`)),
          reject,
        );
      }),
  };
}

export function run(command: string, args: string[], options?: SpawnOptions): Promise<Finished> {
  return start(command, args, options).finished;
}

export function cli(...args: string[]): Promise<Finished> {
  return run(process.execPath, [CLI, ...args]);
}

/** Whether it still runs. One that has ended and waits for its parent, or for a slow init, does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
