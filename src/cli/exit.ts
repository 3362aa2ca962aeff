// The exit statuses that are not a command's own; the numbers are those of sysexits.h, as flock(1)
// has them.

import type { LockErrorCode } from '../errors.js';

export const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;
/** A defect of this program. */
export const EXIT_INTERNAL = 70;
const EXIT_SYSTEM = 71;
const EXIT_CANNOT_CREATE = 73;
/** The lock is held, and was not to be had in time. */
export const EXIT_CONFLICT = 75;
/** The lock was lost, and the program that ran under it was stopped. */
export const EXIT_LOST = 76;
const EXIT_NO_PERMISSION = 77;

export const EXIT_OF_ERROR: Record<LockErrorCode, number> = {
  LOCK_HELD: EXIT_CONFLICT,
  LOCK_TIMEOUT: EXIT_CONFLICT,
  LOCK_LOST: EXIT_LOST,
  LOCK_INVALID_NAME: EXIT_USAGE,
  LOCK_INVALID_OPTION: EXIT_USAGE,
  LOCK_UNSAFE_PATH: EXIT_CANNOT_CREATE,
  LOCK_PERMISSION: EXIT_NO_PERMISSION,
  LOCK_UNSUPPORTED: EXIT_UNAVAILABLE,
  LOCK_DEADLOCK: EXIT_SYSTEM,
  LOCK_SYSTEM: EXIT_SYSTEM,
  LOCK_NATIVE: EXIT_UNAVAILABLE,
  LOCK_CONNECTION: EXIT_UNAVAILABLE,
};
