// What the kernels of macOS and Windows say about locks and processes, by way of the native part.

import { type FileLocks, type ProcessFacts, UNLOCKED } from './kernel.js';
import { native } from './native.js';

/** Looks at one lock at a time: there is no table to be read at once. */
export class LockTable {
  /** The locks on the file at `path`. */
  locksOn(path: string): FileLocks {
    const state = native().lockState(path);
    if (state === 'free') return UNLOCKED;
    const openers = native().openers?.(path);
    // Windows tells openers: holders, those who wait, and those who look.
    const { holds } = native();
    const own = holds?.(path) ? [process.pid] : [];
    const exclusivelyOwn = state === 'exclusive' && own.length > 0;
    const pids = exclusivelyOwn ? own : [...own, ...(openers ?? [])];
    if (pids.length === 0 && state === undefined) {
      // Windows tells of everybody who has the file open; macOS leaves out other users.
      if (holds !== undefined && openers !== undefined) return UNLOCKED;
      return { ...UNLOCKED, waiters: undefined, unknown: [UNREADABLE] };
    }
    if (pids.length === 0 && native().lockState(path) === 'free') {
      return UNLOCKED; // the holder ended meanwhile
    }
    const isCertain = exclusivelyOwn || (openers !== undefined && state !== undefined);
    return {
      held: true,
      shared: state === 'shared',
      callers: pids,
      holders: pids.map((pid) => ({ pid, caller: pid })),
      waiters: undefined,
      needsRecord: holds !== undefined && !(isCertain && pids.length === 1),
    };
  }

  /** Whether somebody holds a lock on the file at `path`. */
  isHeld(path: string): boolean {
    return this.locksOn(path).held;
  }

  /**
   * The process itself, where it holds the lock; of another one, Windows tells only whether it has
   * the file open. `undefined` where the system does not tell.
   */
  callersOf(pid: number, path: string): number[] | undefined {
    const { holds, openers } = native();
    if (pid === process.pid && holds !== undefined) return holds(path) ? [pid] : [];
    return openers?.(path)?.filter((opener) => opener === pid);
  }

  /** These systems do not tell who acquired what a process has: all count as having done so. */
  openerOf(_pid: number, _caller: number, _path: string): undefined {
    return undefined;
  }
}

const UNREADABLE =
  'Whether it is running is not known: this user can not read the lock file, and the system names nobody who has it locked';

/** Differs between any two processes that ever had the same pid. */
export function startToken(pid: number): string | undefined {
  return native().processFacts?.(pid).startToken;
}

/** The same of this process. */
export function ownStartToken(): string | undefined {
  return startToken(process.pid);
}

/** These systems have one space of pids. */
export function pidsAreOurs(): boolean {
  return true;
}

/** Everything that can be known of a process now. */
export function describeProcess(pid: number): ProcessFacts {
  const facts = native().processFacts?.(pid) ?? {};
  const { startToken, startedAt, executable, argv, cwd, uid, user, status } = facts;
  const { cpuSeconds, memoryBytes } = facts;
  const age = startedAt === undefined ? undefined : (Date.now() - startedAt) / 1000;
  return {
    startToken,
    innerPids: [],
    startedAt: startedAt === undefined ? undefined : new Date(startedAt),
    executable,
    argv,
    cwd,
    uid,
    soleUid: undefined,
    processGroup: undefined,
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

/** What the file system of the directory is called: `apfs`, `NTFS`. */
export function fileSystemOf(directory: string): string | undefined {
  return native().fileSystem?.(directory);
}

/** Node has them as they were typed, on Windows; elsewhere in UTF-8. */
export function rawArguments(_count: number): undefined {
  return undefined;
}

/** The environment is not kept. */
export function initialVariable(_name: string): undefined {
  return undefined;
}
