/** Where a lock's file lives; see `lockPath`. */
export type LockScope = 'machine' | 'user';

/** Anything that `JSON.stringify` keeps as it is. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** What selects the lock's file, beside its name. */
export interface LocationOptions {
  /**
   * `machine` (default): one lock per machine, in `/tmp`; on Windows below the known folder
   * ProgramData. `user`: one per user, in `~/.local/state/kernel-lock` (Linux) or
   * `~/Library/Application Support/kernel-lock` (macOS), with `~` from the password database,
   * or below the known folder LocalAppData (Windows). Neither depends on the environment. On POSIX
   * the directory of scope `user` has to be a directory of that user's with mode 0700, as it is made.
   */
  scope?: LockScope | undefined;
  /** An absolute path of an existing directory, instead of a scope. */
  directory?: string | undefined;
}

/** How a lock is acquired without waiting. */
export interface TryLockOptions extends LocationOptions {
  /** `true`: a reader's lock, which any number may hold at once while nobody holds it exclusively. Default `false`. */
  shared?: boolean | undefined;
  /** Kept in the owner record for people who ask who holds the lock. At most 1,024 bytes as JSON. */
  metadata?: JsonValue | undefined;
}

/** How a lock is acquired. */
export interface LockSyncOptions extends TryLockOptions {
  /**
   * `false` (default): fail at once where the lock is held. `true`: wait without end. A number:
   * wait for that many milliseconds, 0 to 2,147,483,647 (the longest that a timer takes);
   * `Infinity` is refused, as `true` says the same without a typing slip becoming endless.
   */
  wait?: boolean | number | undefined;
}

/** How a lock is acquired asynchronously. */
export interface LockOptions extends LockSyncOptions {
  /** Cancels the wait: the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** One process that holds a lock. What can't be known is `undefined`. */
export interface Holder {
  pid: number;
  /** When the lock was acquired, by the clock of then: it may have been set since. */
  acquiredAt: Date | undefined;
  /** On Linux up to a second early, as the kernel keeps the time of its boot in whole seconds. */
  processStartedAt: Date | undefined;
  executable: string | undefined;
  argv: readonly string[] | undefined;
  cwd: string | undefined;
  user: string | undefined;
  hostname: string | undefined;
  /** `running`, `sleeping`, `disk sleep`, `stopped`, `traced`, `zombie`, `dead` or `idle`. */
  status: string | undefined;
  /** Processor time since the process started, in percent of one core (as `ps` has it). */
  cpuPercent: number | undefined;
  /** Resident memory in bytes. */
  memoryBytes: number | undefined;
  metadata: JsonValue | undefined;
  /** `kernel`: the kernel named this process. `record`: only the owner record did. */
  source: 'kernel' | 'record';
}

/** What is known of a lock at one moment. */
export interface LockStatus {
  name: string;
  path: string;
  held: boolean;
  /** Whether it is held by readers; `false` where it is not held. */
  shared: boolean;
  holders: Holder[];
  /** How many processes wait for it, where the kernel tells; waits of one process count once. */
  waiters: number | undefined;
  /**
   * Why something of this is not known, a sentence for people each; empty where there is nothing
   * to explain. On a network file system that is also why `held: false` may not be the whole truth.
   */
  unknown: readonly string[];
}

/**
 * One session that holds a lock on a PostgreSQL server. What only the client knows, and so does not
 * tell here, is `undefined`, as is whatever else can't be known.
 */
export interface PostgresHolder extends Omit<Holder, 'pid' | 'source'> {
  /** The client's process, on the computer `hostname`. `undefined` for another program's session. */
  pid: number | undefined;
  /** The database role. */
  user: string | undefined;
  /** The client's host, as it calls itself. */
  hostname: string | undefined;
  /** By the server's clock. */
  acquiredAt: Date | undefined;
  /** What the session is doing, as `pg_stat_activity.state` has it: `idle` is usual. */
  status: string | undefined;
  /** The server's process for this session: `pg_stat_activity.pid`. */
  backendPid: number;
  /** `application_name` of the session. */
  applicationName: string | undefined;
  /** Where the session comes from, as the server sees it; `undefined` for a Unix socket. */
  clientAddress: string | undefined;
  /** The fencing token that the lock was granted with. */
  token: bigint | undefined;
  /** The server named this session. */
  source: 'server';
}

/** What is known of a lock on a PostgreSQL server at one moment; `path` is the database. */
export interface PostgresStatus extends Omit<LockStatus, 'holders'> {
  holders: PostgresHolder[];
  waiters: number;
}
