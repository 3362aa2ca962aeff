// One request for a lock, and what its native result means.

import { lstatSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { type LockError, LockPathError, LockSystemError, LockUnsupportedError } from './errors.js';
import { type Failure, UNSAFE } from './native.js';
import { whyNotOwn } from './own-directory.js';
import { fileSystemOf } from './system.js';

export interface LockRequest {
  readonly name: string;
  readonly path: string;
  readonly shared: boolean;
  /** What the owner record says beside the constant part. */
  readonly recordTail: string;
  /** Whether the lock's directory is this package's own to make. */
  readonly ownDirectory: boolean;
  /** Whether that directory is for all users. */
  readonly everybodys: boolean;
}

const { errno } = constants;
const onWindows = process.platform === 'win32';
const OPEN = onWindows ? 'CreateFileW' : 'open';
const LOCK = onWindows ? 'LockFileEx' : 'flock';

const WINDOWS_ERRORS = {
  ERROR_INVALID_FUNCTION: 1,
  ERROR_FILE_NOT_FOUND: 2,
  ERROR_PATH_NOT_FOUND: 3,
  ERROR_ACCESS_DENIED: 5,
  ERROR_WRITE_PROTECT: 19,
  ERROR_NOT_READY: 21,
  ERROR_SHARING_VIOLATION: 32,
  ERROR_NOT_SUPPORTED: 50,
  ERROR_BAD_NETPATH: 53,
  ERROR_BAD_NET_NAME: 67,
  ERROR_INVALID_PARAMETER: 87,
  ERROR_INVALID_NAME: 123,
  ERROR_FILENAME_EXCED_RANGE: 206,
  ERROR_DIRECTORY: 267,
};

const CANNOT_LOCK: ReadonlySet<number> = new Set(
  onWindows
    ? [
        WINDOWS_ERRORS.ERROR_INVALID_FUNCTION,
        WINDOWS_ERRORS.ERROR_NOT_SUPPORTED,
        WINDOWS_ERRORS.ERROR_INVALID_PARAMETER,
      ]
    : [
        errno.EBADF, // NFS: an exclusive lock wants a descriptor that can be written to
        errno.ENOLCK,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.ENOTSUP, // another number on macOS: SMB has no flock
        errno.EINVAL,
      ],
);
const CANNOT_USE: ReadonlySet<number> = new Set(
  onWindows
    ? [
        WINDOWS_ERRORS.ERROR_FILE_NOT_FOUND,
        WINDOWS_ERRORS.ERROR_PATH_NOT_FOUND,
        WINDOWS_ERRORS.ERROR_ACCESS_DENIED,
        WINDOWS_ERRORS.ERROR_WRITE_PROTECT,
        WINDOWS_ERRORS.ERROR_NOT_READY,
        WINDOWS_ERRORS.ERROR_SHARING_VIOLATION,
        WINDOWS_ERRORS.ERROR_BAD_NETPATH,
        WINDOWS_ERRORS.ERROR_BAD_NET_NAME,
        WINDOWS_ERRORS.ERROR_INVALID_NAME,
        WINDOWS_ERRORS.ERROR_FILENAME_EXCED_RANGE,
        WINDOWS_ERRORS.ERROR_DIRECTORY,
      ]
    : [
        errno.EACCES,
        errno.EAGAIN, // somebody has a lease on it
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
      ],
);

// What open says of directories, sockets and devices, which may have been swapped since.
const NO_FILE: ReadonlySet<number> = new Set(
  onWindows ? [] : [errno.EISDIR, errno.ENXIO, errno.ENODEV],
);

/** Whether the failure says that the directory of the lock is not there. */
export function isMissingDirectory(result: Failure): boolean {
  return (
    result.syscall === OPEN &&
    result.errno === (onWindows ? WINDOWS_ERRORS.ERROR_PATH_NOT_FOUND : errno.ENOENT)
  );
}

/** Whether a program on Windows has the file open and shares it with nobody, as virus scanners do. */
export function isUnshared(result: Failure): boolean {
  return onWindows && result.errno === WINDOWS_ERRORS.ERROR_SHARING_VIOLATION;
}

/** Throws `LOCK_UNSAFE_PATH` where others could have a hand in the directory of scope `user`. */
export function checkDirectory({ name: lockName, path, everybodys }: LockRequest): void {
  const reason = everybodys ? undefined : whyNotOwn(dirname(path));
  if (reason === undefined) return;
  const message = `Scope 'user' has no safe place: ${reason}`;
  throw new LockPathError('LOCK_UNSAFE_PATH', message, { lockName, path });
}

/** The error that a refused path or a failed system call stands for; the one place that decides it. */
export function errorOf(result: Failure | typeof UNSAFE, request: LockRequest): LockError {
  const { name: lockName, path } = request;
  if (result === UNSAFE) {
    return new LockPathError('LOCK_UNSAFE_PATH', `${path} ${UNSAFE_REASON}`, { lockName, path });
  }
  const cause = systemError(result, path);
  const details = { lockName, path, syscall: result.syscall, errno: result.errno, cause };
  if (result.syscall === OPEN && (NO_FILE.has(result.errno) || !isRegularOrMissing(path))) {
    return new LockPathError('LOCK_UNSAFE_PATH', `${path} ${UNSAFE_REASON}`, details);
  }
  if (result.syscall === LOCK && CANNOT_LOCK.has(result.errno)) {
    const system = fileSystemOf(dirname(path)) ?? 'unknown';
    return new LockUnsupportedError(
      `The file system of ${path} (${system}) can't lock: ${cause.message}. Use a local directory`,
      details,
    );
  }
  if (CANNOT_USE.has(result.errno)) {
    const reason = isUnshared(result)
      ? `another program has it open and shares it with nobody (${cause.message})`
      : cause.message;
    return new LockPathError(
      'LOCK_PERMISSION',
      `The lock file ${path} can't be used: ${reason}`,
      details,
    );
  }
  return new LockSystemError(`Can't lock '${lockName}': ${cause.message}`, details);
}

const UNSAFE_REASON =
  'is not a plain lock file: a regular file with one link, not swapped meanwhile, is wanted there. It was left alone';

/** An error like those of `node:fs`, to be the cause of one of this package's. */
export function systemError(failure: Failure, path?: string): NodeJS.ErrnoException {
  const names = onWindows ? WINDOWS_ERRORS : errno;
  const code = Object.entries(names).find(([, number]) => number === failure.errno)?.[0];
  const where = path === undefined ? '' : ` '${path}'`;
  const error: NodeJS.ErrnoException = new Error(
    `${failure.syscall}${where} failed with ${code ?? `error ${failure.errno}`}`,
  );
  error.errno = -failure.errno;
  error.syscall = failure.syscall;
  if (code !== undefined) error.code = code;
  if (path !== undefined) error.path = path;
  return error;
}

function isRegularOrMissing(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? true;
  } catch {
    return true; // its directory can't be looked into
  }
}
