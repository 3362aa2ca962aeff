// One request for a lock, and what its native result means.

import { lstatSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { type LockError, LockPathError, LockSystemError, LockUnsupportedError } from './errors.js';
import { type Failure, UNSAFE } from './native.js';
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

// Windows: ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_INVALID_PARAMETER.
const CANNOT_LOCK: ReadonlySet<number> = new Set(
  onWindows
    ? [1, 50, 87]
    : [
        errno.EBADF, // NFS: an exclusive lock wants a descriptor that can be written to
        errno.ENOLCK,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.EINVAL,
      ],
);
// Windows: file, path not found; access denied; write protected; sharing violation; bad network
// path; invalid name; name too long; not a directory.
const CANNOT_USE: ReadonlySet<number> = new Set(
  onWindows
    ? [2, 3, 5, 19, 32, 53, 123, 206, 267]
    : [
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
      ],
);
const ERROR_PATH_NOT_FOUND = 3;

/** Whether the failure says that the directory of the lock is not there. */
export function isMissingDirectory(result: Failure): boolean {
  return (
    result.syscall === OPEN && result.errno === (onWindows ? ERROR_PATH_NOT_FOUND : errno.ENOENT)
  );
}

/** The error that a refused path or a failed system call stands for; the one place that decides it. */
export function errorOf(result: Failure | typeof UNSAFE, request: LockRequest): LockError {
  const { name: lockName, path } = request;
  if (result === UNSAFE) {
    return new LockPathError('LOCK_UNSAFE_PATH', `${path} ${UNSAFE_REASON}`, { lockName, path });
  }
  const cause = systemError(result, path);
  const details = { lockName, path, syscall: result.syscall, errno: result.errno, cause };
  if (result.syscall === OPEN && !isRegularOrMissing(path)) {
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
    return new LockPathError(
      'LOCK_PERMISSION',
      `The lock file ${path} can't be used: ${cause.message}`,
      details,
    );
  }
  return new LockSystemError(`Can't lock '${lockName}': ${cause.message}`, details);
}

const UNSAFE_REASON =
  'is not a plain lock file: a regular file with one link, not swapped meanwhile, is wanted there. It was left alone';

/** An error like those of `node:fs`, to be the cause of one of this package's. */
export function systemError(failure: Failure, path?: string): NodeJS.ErrnoException {
  const names = onWindows ? {} : errno;
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
