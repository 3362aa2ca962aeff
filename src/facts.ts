// What the kernels of macOS and Windows say about locks and processes, by way of the native part.

import { type FileLocks, type ProcessFacts, UNLOCKED } from './kernel.js';
import { native } from './native.js';

/** Looks at one lock at a time: there is no table to be read at once. */
export class LockTable {
  /** The locks on the file at `path`. */
  locksOn(path: string): FileLocks {
    const state = native().lockState(path);
    if (state === 'free') return UNLOCKED;
    const others = native().openers?.(path);
    if (state === undefined && !others?.length) return UNLOCKED;
    // The system leaves this process out; where nobody else has the file, it is the holder.
    const pids = others?.length === 0 ? [process.pid] : (others ?? []);
    return {
      held: true,
      shared: state === 'shared',
      callers: pids,
      holders: pids.map((pid) => ({ pid, caller: pid })),
      waiters: undefined,
      needsRecord:
        process.platform === 'win32' &&
        (state === undefined || others === undefined || pids.length > 1),
    };
  }

  /** Whether somebody holds a lock on the file at `path`. */
  isHeld(path: string): boolean {
    return this.locksOn(path).held;
  }

  /**
   * The process itself, where it has the file of the lock open; `undefined` where the system does
   * not tell. This process is left out of what the system tells.
   */
  callersOf(pid: number, path: string): number[] | undefined {
    if (pid === process.pid) return [];
    return native()
      .openers?.(path)
      ?.filter((opener) => opener === pid);
  }
}

/** Differs between any two processes that ever had the same pid. */
export function startToken(pid: number): string | undefined {
  return native().processFacts?.(pid).startToken;
}

/** Everything that can be known of a process now. */
export function describeProcess(pid: number): ProcessFacts {
  const facts = native().processFacts?.(pid) ?? {};
  const { startToken, startedAt, executable, argv, cwd, user, status, cpuSeconds, memoryBytes } =
    facts;
  const age = startedAt === undefined ? undefined : (Date.now() - startedAt) / 1000;
  return {
    startToken,
    innerPids: [],
    startedAt: startedAt === undefined ? undefined : new Date(startedAt),
    executable,
    argv,
    cwd,
    uid: undefined,
    user,
    status,
    cpuPercent:
      cpuSeconds === undefined || age === undefined || age <= 0
        ? undefined
        : Math.round((cpuSeconds / age) * 1000) / 10,
    memoryBytes,
    hidden: false,
  };
}

/** These systems have no private view of a directory. */
export function privateDirectory(_directory: string): undefined {
  return undefined;
}

/** Not told by these systems. */
export function fileSystemOf(_directory: string): undefined {
  return undefined;
}

/** Node has them as they were typed, on Windows; elsewhere in UTF-8. */
export function rawArguments(_count: number): undefined {
  return undefined;
}

/** The environment is not kept. */
export function initialVariable(_name: string): undefined {
  return undefined;
}
