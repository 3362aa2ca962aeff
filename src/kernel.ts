// What a kernel can be asked about locks and processes, whichever it is.

/** What the kernel says of one process. */
export interface ProcessFacts {
  /** Differs between any two processes that ever had the same pid, across reboots too. */
  startToken: string | undefined;
  startedAt: Date | undefined;
  executable: string | undefined;
  argv: string[] | undefined;
  cwd: string | undefined;
  user: string | undefined;
  status: string | undefined;
  cpuPercent: number | undefined;
  memoryBytes: number | undefined;
}

/** A process that has a lock's descriptor, and who called flock on that. */
export interface LockHolder {
  pid: number;
  caller: number;
}

/** What the kernel says of the locks on one file. */
export interface FileLocks {
  held: boolean;
  shared: boolean;
  /** Who called flock for it, as the lock table has it; may be dead while a child holds on. */
  callers: number[];
  /** The processes that hold it, as far as they can be told. */
  holders: LockHolder[];
  /** `undefined` where the kernel does not tell. */
  waiters: number | undefined;
  /** The kernel does not tell holders from others that have the file open, or names nobody. */
  needsRecord?: boolean;
}

export const UNLOCKED: FileLocks = {
  held: false,
  shared: false,
  callers: [],
  holders: [],
  waiters: 0,
};
