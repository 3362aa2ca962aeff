// Processes by their number and their start: whoever has the number later is another one.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { startToken } from '../../src/linux.js';
import { isAlive, type Running, start } from './run.js';

const AS_PID = fileURLToPath(new URL('./as_pid.py', import.meta.url));
const TAKEN = 75;

export interface Known {
  pid: number;
  isAlive(): boolean;
  /** By SIGKILL, if it is still alive. */
  end(): void;
}

/** The process that has this number now. */
export function known(pid: number): Known {
  const token = startToken(pid);
  const lives = () => token !== undefined && startToken(pid) === token && isAlive(pid);
  return { pid, isAlive: lives, end: () => void (lives() && process.kill(pid, 'SIGKILL')) };
}

/** The process that has this number now, which is ended when the test is. */
export function reap(pid: number): Known {
  const one = known(pid);
  onTestFinished(one.end);
  return one;
}

/**
 * Starts a program that has this number, which was another one's; `undefined` where somebody else was
 * faster. Its `child` is the process that started it and ends as it does. Needs root, and Python.
 */
export async function startAs(
  pid: number,
  command: string[],
  stdio: ('pipe' | 'ignore')[] = ['pipe', 'pipe', 'pipe'],
): Promise<Running | undefined> {
  const running = start('python3', [AS_PID, String(pid), ...command], { stdio });
  const { child } = running;
  while (parentOf(pid) !== running.pid) {
    if (child.exitCode !== null || child.signalCode !== null) {
      const { status, stderr } = await running.finished;
      if (status === TAKEN) return undefined;
      throw new Error(`'${command[0]}' did not run as ${pid}: ended with ${status}: ${stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  reap(pid);
  return { ...running, pid };
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined;
  }
}
