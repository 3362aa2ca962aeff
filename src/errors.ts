import type { Holder, PostgresHolder } from './types.js';

/** The codes by which errors of this package are told apart; stable, unlike the messages. */
export type LockErrorCode =
  | 'LOCK_HELD'
  | 'LOCK_TIMEOUT'
  | 'LOCK_LOST'
  | 'LOCK_INVALID_NAME'
  | 'LOCK_INVALID_OPTION'
  | 'LOCK_UNSAFE_PATH'
  | 'LOCK_PERMISSION'
  | 'LOCK_UNSUPPORTED'
  | 'LOCK_DEADLOCK'
  | 'LOCK_SYSTEM'
  | 'LOCK_NATIVE'
  | 'LOCK_CONNECTION';

/** What every error of this package can tell beside its message. */
export interface LockErrorDetails {
  lockName?: string | undefined;
  path?: string | undefined;
  /** The system call that failed, such as `open` or `flock`. */
  syscall?: string | undefined;
  /** Its error number: `errno` on POSIX (positive), `GetLastError()` on Windows. */
  errno?: number | undefined;
  cause?: unknown;
}

/**
 * The base of every error that this package throws. `code` tells them apart; `lockName`
 * and `path` say which lock it was about; `syscall`, `errno` and `cause` are there where
 * a system call failed. `instanceof LockError` catches them all.
 */
export class LockError extends Error {
  readonly code: LockErrorCode;
  readonly lockName: string | undefined;
  readonly path: string | undefined;
  readonly syscall: string | undefined;
  readonly errno: number | undefined;

  constructor(code: LockErrorCode, message: string, details: LockErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.lockName = details.lockName;
    this.path = details.path;
    this.syscall = details.syscall;
    this.errno = details.errno;
  }
}

/** What a `LockHeldError` can tell beside that. */
export interface LockHeldDetails extends LockErrorDetails {
  holder?: Holder | PostgresHolder | undefined;
  unknown?: readonly string[] | undefined;
}

/**
 * `LOCK_HELD`: another process, or another part of this one, holds the lock. `holder` is
 * who that was a moment ago, where it can be known; it may be gone by now.
 */
export class LockHeldError extends LockError {
  readonly holder: Holder | PostgresHolder | undefined;
  /** Why the holder, or something of it, is not known; see `LockStatus.unknown`. */
  readonly unknown: readonly string[];

  constructor(
    message: string,
    details: LockHeldDetails,
    code: 'LOCK_HELD' | 'LOCK_TIMEOUT' = 'LOCK_HELD',
  ) {
    super(code, message, details);
    this.holder = details.holder;
    this.unknown = details.unknown ?? [];
  }
}

/** `LOCK_TIMEOUT`: the time of a wait ran out, and the lock was still held. */
export class LockTimeoutError extends LockHeldError {
  constructor(message: string, details: LockHeldDetails) {
    super(message, details, 'LOCK_TIMEOUT');
  }
}

/**
 * `LOCK_LOST`: the lock file was deleted, moved or replaced, or the session with the server is gone
 * or in doubt; so another process may hold the name now.
 */
export class LockLostError extends LockError {
  constructor(message: string, details?: LockErrorDetails) {
    super('LOCK_LOST', message, details);
  }
}

/**
 * `LOCK_UNSAFE_PATH`: something other than a regular file with a single link stands where
 * the lock file belongs, or the directory of scope `user` is a link, another user's or open to
 * others. `LOCK_PERMISSION`: the file or its directory can't be used by this
 * user, or is not there.
 */
export class LockPathError extends LockError {}

/** `LOCK_UNSUPPORTED`: the file system can't lock. There is no weaker lock to fall back to. */
export class LockUnsupportedError extends LockError {
  constructor(message: string, details?: LockErrorDetails) {
    super('LOCK_UNSUPPORTED', message, details);
  }
}

/** `LOCK_DEADLOCK`: a synchronous wait without end for something that only the waiting thread can free. */
export class LockDeadlockError extends LockError {
  constructor(message: string, details?: LockErrorDetails) {
    super('LOCK_DEADLOCK', message, details);
  }
}

/** `LOCK_SYSTEM`: the system ran out of something (descriptors, memory, threads, disk) or a disk failed. */
export class LockSystemError extends LockError {
  constructor(message: string, details?: LockErrorDetails) {
    super('LOCK_SYSTEM', message, details);
  }
}

/** `LOCK_NATIVE`: the native part is missing for this platform, or may not be loaded. The message says what to do. */
export class LockNativeError extends LockError {
  constructor(message: string, details?: LockErrorDetails) {
    super('LOCK_NATIVE', message, details);
  }
}

/** `LOCK_CONNECTION`: the server can't be reached, does not let this client in, or has gone away. */
export class LockConnectionError extends LockError {
  constructor(message: string, details?: LockErrorDetails) {
    super('LOCK_CONNECTION', message, details);
  }
}

/**
 * `LOCK_INVALID_NAME` or `LOCK_INVALID_OPTION`: bad input; nothing was touched. A
 * `TypeError`, because it is the calling code that has to change, and a `LockError` too:
 * `instanceof` says yes to both.
 */
export class LockTypeError extends TypeError {
  readonly code: 'LOCK_INVALID_NAME' | 'LOCK_INVALID_OPTION';
  readonly lockName: string | undefined;
  readonly path: string | undefined;
  readonly syscall: string | undefined;
  readonly errno: number | undefined;

  constructor(
    code: 'LOCK_INVALID_NAME' | 'LOCK_INVALID_OPTION',
    message: string,
    lockName?: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LockTypeError';
    this.code = code;
    this.lockName = lockName;
  }
}

// A class has one base only, so LockError answers for its kin.
Object.defineProperty(LockError, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true;
    return this === LockError && value instanceof LockTypeError;
  },
});
