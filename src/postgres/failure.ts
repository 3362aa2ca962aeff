// What an error of pg or of the server means; the one place that decides it.

import {
  LockConnectionError,
  LockDeadlockError,
  LockError,
  type LockErrorDetails,
  LockPathError,
  LockSystemError,
  LockUnsupportedError,
} from '../errors.js';

/** SQLSTATEs, as the server's manual calls them (appendix A). */
export const UNDEFINED_TABLE = '42P01';
export const UNIQUE_VIOLATION = '23505';
const DUPLICATE_TABLE = '42P07';
/** A table's row type. */
const DUPLICATE_OBJECT = '42710';
export const INSUFFICIENT_PRIVILEGE = '42501';
const READ_ONLY_TRANSACTION = '25006';
const DEADLOCK_DETECTED = '40P01';
export const QUERY_CANCELED = '57014';
/** Classes: connection exception, invalid authorization, no such database, operator intervention. */
const CONNECTION_CLASSES = ['08', '28', '3D', '57'];
const TOO_MANY_CONNECTIONS = '53300';

/** The SQLSTATE, where it is the server that said no. */
export function sqlStateOf(cause: unknown): string | undefined {
  const { code, severity } = (cause ?? {}) as { code?: string; severity?: string };
  return severity === undefined ? undefined : code;
}

/** Whether two sessions made the tables in the same moment. */
export function isMadeMeanwhile(cause: unknown): boolean {
  const states = [UNIQUE_VIOLATION, DUPLICATE_TABLE, DUPLICATE_OBJECT];
  return states.includes(sqlStateOf(cause) ?? '');
}

/** Whether two sessions made a name's row in the same moment: each of its two indexes makes one wait. */
export function isRowMadeMeanwhile(cause: unknown): boolean {
  return [UNIQUE_VIOLATION, DEADLOCK_DETECTED].includes(sqlStateOf(cause) ?? '');
}

/** Whether a table is not there, or not for this role. */
export function isUnreadable(cause: unknown): boolean {
  return [UNDEFINED_TABLE, INSUFFICIENT_PRIVILEGE].includes(sqlStateOf(cause) ?? '');
}

/** The error that a failed question stands for. `where` is the server's place, without secrets. */
export function errorOf(cause: unknown, where: string, lockName?: string): LockError {
  if (cause instanceof LockError) return cause;
  const state = sqlStateOf(cause);
  const { syscall, errno } = cause as NodeJS.ErrnoException;
  const details: LockErrorDetails = {
    lockName,
    path: where,
    syscall,
    errno: typeof errno === 'number' ? Math.abs(errno) : undefined,
    cause,
  };
  const why = reasonOf(cause);
  if (state === INSUFFICIENT_PRIVILEGE) {
    return new LockPathError('LOCK_PERMISSION', `${where}: ${why}. ${GRANTS}`, details);
  }
  if (state === READ_ONLY_TRANSACTION) {
    return new LockUnsupportedError(`${where} can't lock: ${why}. ${READ_ONLY}`, details);
  }
  if (state === DEADLOCK_DETECTED) return new LockDeadlockError(`${where}: ${why}`, details);
  if (
    state === undefined ||
    state === TOO_MANY_CONNECTIONS ||
    CONNECTION_CLASSES.includes(state.slice(0, 2))
  ) {
    return new LockConnectionError(`No session with ${where}: ${why}`, details);
  }
  return new LockSystemError(`${where}: ${why} (SQLSTATE ${state})`, details);
}

/** Said where a table may not be made or used. */
const GRANTS =
  'Let its owner, or who may create tables in the schema public, run what `kernel-lock migration` prints, and grant SELECT, INSERT and UPDATE on public.kernel_lock and public.kernel_lock_grant to this role';

export const STANDBY = 'Use the address of the primary server';
const READ_ONLY =
  'Either it is a standby: use the address of the primary server; or this role or database has default_transaction_read_only: turn that off for sessions that lock';

// Node tries each address of a host, and says nothing but that all failed.
function reasonOf(cause: unknown): string {
  const { message, errors } = cause as { message?: string; errors?: Error[] };
  if (message) return message;
  return errors?.map((error) => error.message).join('; ') || String(cause);
}
