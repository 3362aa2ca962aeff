// What a kernel can be asked about locks and processes, whichever it is.

/** What the kernel says of one process. */
export interface ProcessFacts {
  /** Differs between any two processes that ever had the same pid, across reboots too. */
  startToken: string | undefined;
  /** What the process's pid is in PID namespaces (containers) below this one. */
  innerPids: readonly number[];
  startedAt: Date | undefined;
  executable: string | undefined;
  argv: string[] | undefined;
  cwd: string | undefined;
  /** The user's number, on POSIX where the kernel tells; files that it makes belong to it. */
  uid: number | undefined;
  /** The same, where the process can have no other: a setuid program's has its starter's too. */
  soleUid: number | undefined;
  /** POSIX's, where the kernel tells: a child is in its parent's unless either has changed that. */
  processGroup: number | undefined;
  user: string | undefined;
  status: string | undefined;
  cpuPercent: number | undefined;
  memoryBytes: number | undefined;
  /** Whether the kernel hides part of this from this user. */
  hidden: boolean;
}

/** The caller of a lock whom the kernel can't name: in a PID namespace, one that has ended. */
export const NO_PID = 0;

/** A process that has a lock's descriptor, and who called flock on that; perhaps `NO_PID`. */
export interface LockHolder {
  pid: number;
  caller: number;
  /** What the process's token was before it was seen to hold; `undefined` where not looked at. */
  startToken?: string | undefined;
  /** Only the table names it: its descriptors can't be looked at. */
  unconfirmed?: boolean;
  /** None of those that were looked at has the lock, which only the table says then; see linux.ts. */
  elsewhere?: boolean;
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
  /** Somebody had the lock in the way of one who only asks, as a rule for that instant. */
  tried?: boolean;
  /** The kernel does not tell holders from others that have the file open, or names nobody. */
  needsRecord?: boolean;
  /** Why less is known than could be, a sentence each. */
  unknown?: readonly string[];
}

export const UNLOCKED: FileLocks = {
  held: false,
  shared: false,
  callers: [],
  holders: [],
  waiters: 0,
};
