// Ending the holder, and nobody else. The kernel names the holder; a handle pins that very
// process; only then is it verified and signalled through the handle. A pid that was reused in
// between can't be hit, and doubt means that no signal is sent.

import { constants } from 'node:os';
import { LockDeadlockError, LockPathError, LockTimeoutError } from './errors.js';
import { locksOn, statusOf } from './inspect.js';
import type { LockHolder } from './kernel.js';
import { type Failure, native } from './native.js';
import { checkInput, LOCATION_OPTIONS } from './options.js';
import { readRecord } from './owner.js';
import { lockFile } from './path.js';
import { systemError } from './request.js';
import { LockTable, startToken } from './system.js';
import type { Holder, LocationOptions } from './types.js';

/** How a holder is asked to stop. */
export interface KillOptions extends LocationOptions {
  /** `true`: SIGKILL, which no process can refuse; it gets no chance to shut down. Default `false`: SIGTERM. */
  force?: boolean | undefined;
  /** How long to wait until the kernel has freed the lock, in milliseconds. Default 10,000. */
  timeout?: number | undefined;
}

/** How an attempt to end the holder went. */
export interface Termination {
  /**
   * `none`: nobody held the lock. `gone`: who held it holds it no more. `running`: the time ran
   * out. `denied`: the system does not let this user signal the holder, or would not confirm it.
   */
  outcome: 'none' | 'gone' | 'running' | 'denied';
  /** Who held the lock at first. */
  holders: Holder[];
  failure: Failure | undefined;
}

const DEFAULT_TIMEOUT = 10_000;
/** How often the kernel is asked whether the lock is free, in milliseconds. */
const LOOK_AGAIN = 10;
/** How long the holder may be out of sight before it counts as out of reach, in milliseconds. */
const UNSEEN_GRACE = 500;
const { ESRCH, ENOSYS, EPERM } = constants.errno;

/**
 * Asks the process that holds the lock to stop (SIGTERM, or SIGKILL with `force`), and waits until
 * the kernel has freed the lock. All holders of a shared lock are asked. Resolves to `true` when
 * they are gone, to `false` when nobody held the lock. A process that acquires it meanwhile is
 * left alone.
 *
 * @throws (rejects) LockError `LOCK_TIMEOUT` when the holder still holds after `timeout`,
 *   `LOCK_PERMISSION` when it may not be signalled, `LOCK_DEADLOCK` when this process is the
 *   holder, `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`.
 */
export async function killRunning(name: string, options: KillOptions = {}): Promise<boolean> {
  const { outcome, holders, failure } = await terminate(name, options);
  if (outcome === 'none') return false;
  if (outcome === 'gone') return true;
  const [holder] = holders.filter(isVisible);
  const details = { lockName: name, path: lockFile(name, options), holder };
  const who = holder === undefined ? 'The holder' : `PID ${holder.pid}`;
  if (outcome === 'running') {
    throw new LockTimeoutError(
      `${who} still holds '${name}'${options.force ? '' : '; with force: true it gets SIGKILL, which it can not ignore'}`,
      details,
    );
  }
  throw new LockPathError(
    'LOCK_PERMISSION',
    `${who} holds '${name}' and may not be signalled by this user`,
    failure === undefined
      ? details
      : {
          ...details,
          syscall: failure.syscall,
          errno: failure.errno,
          cause: systemError(failure),
        },
  );
}

/** Whether the holder is a process that can be seen from here, not one that only the record names. */
export function isVisible(holder: Holder): boolean {
  return holder.processStartedAt !== undefined;
}

/** What `killRunning` does, told in full. */
export async function terminate(name: string, options: KillOptions = {}): Promise<Termination> {
  const checked = checkInput(name, options, [...LOCATION_OPTIONS, 'force', 'timeout']);
  const { force = false, timeout = DEFAULT_TIMEOUT } = checked;
  const path = lockFile(name, checked);
  const signal = force ? constants.signals.SIGKILL : constants.signals.SIGTERM;
  const first = locksOn(name, path);
  const { holders } = statusOf(name, path, first);
  if (!first.held) return { outcome: 'none', holders, failure: undefined };
  const own = first.holders.some(({ pid }) => pid === process.pid);
  if (own || new LockTable().callersOf(process.pid, path)?.length) {
    throw new LockDeadlockError(
      `This process holds '${name}' itself, or has inherited it; let go of it instead`,
      {
        lockName: name,
        path,
      },
    );
  }

  // A lock keeps the pid that acquired it, whoever inherits it: these are the ones to end.
  const callers = new Set(first.callers);
  const asked = new Set<number>();
  const started = performance.now();
  const deadline = started + timeout;
  let failure: Failure | undefined;
  for (;;) {
    const locks = locksOn(name, path);
    // Held by nobody that can be named may still be them.
    const byOthers = locks.callers.length > 0 && !locks.callers.some((pid) => callers.has(pid));
    if (!locks.held || byOthers) return { outcome: 'gone', holders, failure };
    const targets = locks.holders.filter(({ caller }) => callers.has(caller));
    for (const pid of nextToAsk(targets, asked)) {
      asked.add(pid);
      const refused = signalHolder(pid, name, path, callers, signal);
      if (refused !== undefined && refused.errno !== ESRCH) failure = refused;
    }
    // Somebody holds it who can't be found from here, and so can't be asked; a moment's grace,
    // because one that is ending has closed its descriptors already.
    if (asked.size === 0 && performance.now() > started + UNSEEN_GRACE) {
      failure = { syscall: 'pidfd_open', errno: EPERM };
    }
    if (failure !== undefined) return { outcome: 'denied', holders, failure };
    if (performance.now() >= deadline) return { outcome: 'running', holders, failure };
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

// First who acquired the lock; only when those have gone, the children that hold on to it.
function nextToAsk(holders: LockHolder[], asked: Set<number>): number[] {
  const first = holders.filter(({ pid, caller }) => pid === caller);
  return (first.length > 0 ? first : holders)
    .map(({ pid }) => pid)
    .filter((pid) => !asked.has(pid));
}

function signalHolder(
  pid: number,
  name: string,
  path: string,
  callers: Set<number>,
  signal: number,
): Failure | undefined {
  const pinned = native().pinProcess(pid);
  // A kernel before 5.3 has no such handle: verify, then signal by pid at once.
  if (typeof pinned !== 'number' && pinned.errno !== ENOSYS) return pinned;
  try {
    const confirmed = isHolder(pid, name, path, callers);
    if (confirmed !== true) {
      return { syscall: 'pidfd_open', errno: confirmed === false ? ESRCH : EPERM };
    }
    return typeof pinned === 'number'
      ? native().signalProcess(pinned, signal)
      : signalByPid(pid, signal);
  } finally {
    if (typeof pinned === 'number') native().unpinProcess(pinned);
  }
}

// Where another user's descriptors can't be read, the kernel's word (it named the pid) and the
// record's (same start token) have to agree; else it is unknown.
function isHolder(
  pid: number,
  name: string,
  path: string,
  callers: Set<number>,
): boolean | undefined {
  const confirmed = new LockTable().callersOf(pid, path);
  if (confirmed !== undefined) return confirmed.some((caller) => callers.has(caller));
  const record = readRecord(path);
  const agrees =
    record?.pid === pid &&
    record.startToken !== undefined &&
    record.startToken === startToken(pid) &&
    locksOn(name, path).callers.includes(pid);
  return agrees || undefined;
}

function signalByPid(pid: number, signal: number): Failure | undefined {
  try {
    process.kill(pid, signal);
    return undefined;
  } catch (error) {
    return { syscall: 'kill', errno: -((error as NodeJS.ErrnoException).errno ?? EPERM) };
  }
}
