import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describeProcess, type FileLocks, LockTable } from './linux.js';
import { checkInput, checkOptions, LOCATION_OPTIONS } from './options.js';
import { type OwnerRecord, readRecord } from './owner.js';
import { lockDirectory, lockFile, nameOfFile } from './path.js';
import type { Holder, LocationOptions, LockStatus } from './types.js';

/**
 * Who holds the lock now, as the kernel has it: it reads the kernel's lock table and tries no
 * lock itself, so it disturbs neither a holder nor a starter. A lock that never existed is
 * not held.
 *
 * @throws LockError `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`.
 */
export function inspect(name: string, options: LocationOptions = {}): LockStatus {
  checkInput(name, options, LOCATION_OPTIONS);
  const path = lockFile(name, options);
  return statusOf(name, path, new LockTable().locksOn(path));
}

/**
 * The held locks of a scope or directory, by name. A directory that can't be read has none.
 *
 * @throws LockError `LOCK_INVALID_OPTION`.
 */
export function list(options: LocationOptions = {}): LockStatus[] {
  checkOptions(options, LOCATION_OPTIONS);
  const directory = lockDirectory(options);
  let files: string[];
  try {
    files = readdirSync(directory);
  } catch {
    return [];
  }
  const table = new LockTable();
  const statuses: LockStatus[] = [];
  for (const file of files.sort()) {
    const name = nameOfFile(file);
    if (name === undefined) continue;
    const path = join(directory, file);
    const locks = table.locksOn(path);
    if (locks.held) statuses.push(statusOf(name, path, locks));
  }
  return statuses;
}

/**
 * Whether somebody holds the lock now. Like `inspect`, it disturbs nobody. Whoever starts a
 * program on the strength of `false` may still lose the race: acquire instead of asking.
 *
 * @throws LockError `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`.
 */
export function checkRunning(name: string, options: LocationOptions = {}): boolean {
  checkInput(name, options, LOCATION_OPTIONS);
  return new LockTable().locksOn(lockFile(name, options)).held;
}

function statusOf(name: string, path: string, locks: FileLocks): LockStatus {
  const record = locks.held ? readRecord(path) : undefined;
  return {
    name,
    path,
    held: locks.held,
    shared: locks.shared,
    holders: locks.pids.map((pid) => holderOf(pid, record)),
    waiters: locks.waiters,
  };
}

// The record is joined by identity, pid and start token: that of an earlier holder, or a forged
// one, tells nothing about this one.
function holderOf(pid: number, record: OwnerRecord | undefined): Holder {
  const facts = describeProcess(pid);
  const own =
    record?.pid === pid && record.startToken !== undefined && record.startToken === facts.startToken
      ? record
      : undefined;
  return {
    pid,
    acquiredAt: own?.acquiredAt,
    processStartedAt: facts.startedAt,
    executable: facts.executable ?? own?.executable,
    argv: facts.argv ?? own?.argv,
    cwd: facts.cwd ?? own?.cwd,
    user: facts.user ?? own?.user,
    hostname: own?.hostname,
    status: facts.status,
    cpuPercent: facts.cpuPercent,
    memoryBytes: facts.memoryBytes,
    metadata: own?.metadata,
    source: 'kernel',
  };
}
