// Ending the holder, and nobody else. The kernel names the holder; a handle pins that very
// process; only then is it verified and signalled through the handle. A pid that was reused in
// between can't be hit, and doubt means that no signal is sent.

import { constants } from 'node:os';
import { LockDeadlockError, LockPathError, LockSystemError, LockTimeoutError } from './errors.js';
import { type Acquirer, acquirerOf, isHeir, UNKNOWN_ACQUIRER } from './heir.js';
import { locksOn, ownRecord, statusOf } from './inspect.js';
import { type FileLocks, type LockHolder, NO_PID } from './kernel.js';
import { type Failure, GONE, native } from './native.js';
import { checkInput, LOCATION_OPTIONS } from './options.js';
import { readRecord } from './owner.js';
import { lockFile } from './path.js';
import { NOT_ACQUIRED, stillRunning } from './report.js';
import { systemError } from './request.js';
import { describeProcess, LockTable, pidsAreOurs, startToken } from './system.js';
import type { Holder, LocationOptions } from './types.js';

/** How a holder is asked to stop. */
export interface KillOptions extends LocationOptions {
  /** `true`: SIGKILL, which no process can refuse; it gets no chance to shut down. Default `false`: SIGTERM. */
  force?: boolean | undefined;
  /** How long to wait until the kernel has freed the lock, in milliseconds. Default 10,000. */
  timeout?: number | undefined;
}

/** An error like those of `node:fs`; its own type, so that the declarations want no others. */
export interface SystemFailure extends Error {
  code?: string | undefined;
  errno?: number | undefined;
  syscall?: string | undefined;
}

/** How an attempt to end the holder went. */
export interface Termination {
  /**
   * `none`: nobody held the lock. `gone`: who held it holds it no more. `running`: the time ran
   * out. `denied`: a holder could not be signalled, or not be found from here, and holds on.
   */
  outcome: 'none' | 'gone' | 'running' | 'denied';
  /** Who held the lock at first, then who was found to hold on to it and asked as well. */
  holders: Holder[];
  /** Who of them holds it still, as they are now. */
  remaining: Holder[];
  /** Who was to be signalled: not a child whose parent holds the lock too, nor who can't be confirmed. */
  asked: ReadonlySet<number>;
  /** Who of those could not be signalled, and why. */
  refusals: Map<number, SystemFailure>;
  /** Who had let go of it, or ended, whenever it was to be signalled: so far it was not. */
  missed: ReadonlySet<number>;
  /** Who has acquired it since. They are left alone. */
  successors: Holder[];
  /** Why something of this is not known; see `LockStatus.unknown`. */
  unknown: readonly string[];
}

const DEFAULT_TIMEOUT = 10_000;
/** How often the kernel is asked whether the lock is free, in milliseconds. */
const LOOK_AGAIN = 10;
/** How long the holder may be out of sight before it counts as out of reach, in milliseconds. */
const UNSEEN_GRACE = 500;
/** Sends nothing, and tells whether a signal would be sent. */
const PROBE = 0;
const { EACCES, EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM, ESRCH } = constants.errno;

/**
 * Asks the process that holds the lock to stop (SIGTERM, or SIGKILL with `force`), and waits until
 * the kernel has freed the lock. All holders of a shared lock are asked, also where one of them
 * may not be signalled; on Windows those that can be told from who only has the file open. Resolves
 * to `true` when they are gone, to `false` when nobody held the lock. A process that acquires it
 * meanwhile is left alone, even where it got the pid of the first.
 *
 * Who holds on to the lock after the process that acquired it is asked in turn. On Linux only where
 * it is of that one's user, and for root's in its process group; or, where that one has ended, of
 * the only user who can have opened the lock file in that way. For any process that accepts
 * descriptors can be sent that of a lock. macOS and Windows do not tell the two apart: whoever has
 * the lock there counts as having acquired it.
 *
 * No stranger is hit: Linux (5.3 and newer) and Windows signal through a handle that pins the very
 * process that was verified to hold the lock. Linux before 5.3 and macOS have none: there the pid
 * would have to be freed and given to another process within the microseconds between that
 * verification and `kill(2)`.
 *
 * @throws (rejects) LockError `LOCK_TIMEOUT` when a holder still holds after `timeout`,
 *   `LOCK_PERMISSION` when one may not be signalled, or did not acquire it and may have been sent it,
 *   `LOCK_SYSTEM` when it can't be (no descriptor left), `LOCK_DEADLOCK` when this process is the
 *   holder, `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`.
 */
export async function killRunning(name: string, options: KillOptions = {}): Promise<boolean> {
  const termination = await terminate(name, options);
  const { outcome, remaining, refusals } = termination;
  if (outcome === 'none') return false;
  if (outcome === 'gone') return true;
  const [refused, cause] = [...refusals][0] ?? [];
  const holder = remaining.find(({ pid }) => pid === refused) ?? remaining[0];
  const details = { lockName: name, path: lockFile(name, options), holder };
  const why = stillRunning(termination, options.force === true, 'force: true');
  const message = `'${name}' is still held: ${why}`;
  if (outcome === 'running') throw new LockTimeoutError(message, details);
  if (cause === undefined) throw new LockPathError('LOCK_PERMISSION', message, details);
  const { syscall } = cause;
  const errno = cause.errno === undefined ? undefined : -cause.errno;
  const failure = { ...details, syscall, errno, cause };
  if (errno !== undefined && [EMFILE, ENFILE, ENOMEM].includes(errno))
    throw new LockSystemError(message, failure);
  throw new LockPathError('LOCK_PERMISSION', message, failure);
}

/** What `killRunning` does, told in full. */
export async function terminate(name: string, options: KillOptions = {}): Promise<Termination> {
  const checked = checkInput(name, options, [...LOCATION_OPTIONS, 'force', 'timeout']);
  const { force = false, timeout = DEFAULT_TIMEOUT } = checked;
  const path = lockFile(name, checked);
  const signal = force ? constants.signals.SIGKILL : constants.signals.SIGTERM;
  const first = locksOn(name, path);
  // A lock keeps the pid that acquired it, whoever inherits it: these are the ones to end. One
  // whose pid means another process by now is not.
  const acquirers = new Map(first.callers.map((pid) => [pid, acquirerOf(pid, first)]));
  const incumbent: Incumbency = (caller) => {
    const acquirer = acquirers.get(caller) ?? (caller === NO_PID ? endedOf(acquirers) : undefined);
    const token = acquirer && startToken(caller);
    return token === undefined || token === acquirer?.startToken ? acquirer : undefined;
  };
  const isIncumbent = (caller: number) => incumbent(caller) !== undefined;
  // Windows, several with the file open: whoever is named later may have held it all the time.
  const hasUnnamed = first.needsRecord === true && (first.shared || first.callers.length === 0);
  const { holders } = statusOf(name, path, first);
  const asked = new Set<number>();
  const refusals: Termination['refusals'] = new Map();
  const missed = new Set<number>();
  let seen = false;
  const ended = (outcome: Termination['outcome'], locks: FileLocks): Termination => {
    const remaining = locks.holders.filter(({ caller }) => isIncumbent(caller));
    const others = locks.holders.filter(({ caller }) => !isIncumbent(caller));
    return {
      outcome,
      holders,
      remaining: statusOf(name, path, { ...locks, holders: remaining }).holders,
      asked,
      refusals,
      missed,
      successors:
        others.length === 0 ? [] : statusOf(name, path, { ...locks, holders: others }).holders,
      unknown: locks.unknown ?? [],
    };
  };
  if (!first.held) return ended('none', first);
  refuseOwn(name, path, first);

  const started = performance.now();
  for (;;) {
    const locks = locksOn(name, path);
    // Held by nobody that can be named may still be them.
    const byOthers = !hasUnnamed && locks.callers.length > 0 && !locks.callers.some(isIncumbent);
    if (!locks.held || byOthers) return ended('gone', locks);
    const targets = locks.holders.filter((one) => isIncumbent(one.caller) && !one.elsewhere);
    seen ||= targets.length > 0;
    for (const pid of nextToAsk(targets, asked)) {
      const heirs = holders.some((one) => one.pid === pid)
        ? []
        : targets.filter((target) => target.pid === pid);
      const found = statusOf(name, path, { ...locks, holders: heirs }).holders;
      const refused = signalHolder(pid, name, path, incumbent, signal);
      // One that takes turns may hold it again at the next look.
      if (refused === GONE) {
        missed.add(pid);
        continue;
      }
      missed.delete(pid);
      asked.add(pid);
      if (refused === undefined) holders.push(...found);
      else refusals.set(pid, refused);
    }
    for (const pid of refusals.keys()) {
      if (!targets.some((target) => target.pid === pid)) refusals.delete(pid);
    }
    const elapsed = performance.now() - started;
    // Somebody holds it who can't be found from here, and so can't be asked; a moment's grace,
    // because one that is ending has closed its descriptors already.
    const unseen = !seen && elapsed > UNSEEN_GRACE;
    const onlyRefused = targets.length > 0 && targets.every(({ pid }) => refusals.has(pid));
    const timeIsUp = elapsed >= timeout;
    if (unseen || onlyRefused || (timeIsUp && refusals.size > 0)) return ended('denied', locks);
    if (timeIsUp) return ended('running', locks);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

/** Who acquired a lock that has this pid for it, if that is one of those that were held at first. */
type Incumbency = (caller: number) => Acquirer | undefined;

// In a PID namespace, the kernel has no pid for one that has ended: of several, it may be any.
function endedOf(acquirers: Map<number, Acquirer>): Acquirer | undefined {
  const ended = [...acquirers].filter(([pid, first]) => startToken(pid) !== first.startToken);
  return ended.length > 1 ? UNKNOWN_ACQUIRER : ended[0]?.[1];
}

function refuseOwn(name: string, path: string, locks: FileLocks): void {
  const own = locks.holders.some(({ pid }) => pid === process.pid);
  if (!own && !new LockTable().callersOf(process.pid, path)?.length) return;
  throw new LockDeadlockError(
    `This process holds '${name}' itself, or has inherited it; let go of it instead`,
    { lockName: name, path },
  );
}

// First who acquired the lock; only when that one has gone, who else has it: its children, as a rule.
function nextToAsk(holders: LockHolder[], asked: Set<number>): number[] {
  const acquirers = holders.filter(({ pid, caller }) => pid === caller).map(({ pid }) => pid);
  return holders
    .filter(({ pid, caller }) => pid === caller || !acquirers.includes(caller))
    .map(({ pid }) => pid)
    .filter((pid) => !asked.has(pid));
}

function signalHolder(
  pid: number,
  name: string,
  path: string,
  incumbent: Incumbency,
  signal: number,
): SystemFailure | typeof GONE | undefined {
  if (!pidsAreOurs()) return ofOthers();
  const pinned = native().pinProcess(pid);
  if (pinned === GONE) return GONE;
  // A kernel before 5.3 has no such handle: verify, then signal by pid at once.
  if (typeof pinned !== 'number' && pinned.errno !== ENOSYS) return systemError(pinned);
  try {
    const confirmed = isHolder(pid, name, path, incumbent);
    if (confirmed === false) return GONE;
    if (confirmed === NOT_ACQUIRED) return notAcquired();
    // Who may not be looked into may not be signalled either, but by root without CAP_SYS_PTRACE.
    const number = confirmed ? signal : PROBE;
    const refused =
      typeof pinned === 'number'
        ? native().signalProcess(pinned, number)
        : signalByPid(pid, number);
    if (refused === GONE) return GONE;
    if (refused !== undefined) return systemError(refused);
    return confirmed ? undefined : unconfirmed();
  } finally {
    if (typeof pinned === 'number') native().unpinProcess(pinned);
  }
}

// Where a process's descriptors can't be read, the kernel's word (it named the pid, which another
// process may have by now) and the record's (same start token) have to agree, and nobody else may
// have forged that; else it is unknown.
function isHolder(
  pid: number,
  name: string,
  path: string,
  incumbent: Incumbency,
): boolean | typeof NOT_ACQUIRED | undefined {
  const ask = () => new LockTable().callersOf(pid, path)?.filter(incumbent);
  const callers = ask();
  if (callers !== undefined) {
    const isOne = (caller: number) =>
      caller === pid || isHeir(pid, caller, path, incumbent(caller));
    if (callers.some(isOne)) return true;
    // One that ended while it was looked at is nobody's heir.
    return callers.length > 0 && ask()?.length !== 0 && NOT_ACQUIRED;
  }
  // Windows that does not tell who has the file open: the record alone names the process.
  if (native().holds !== undefined && native().trustsRecord !== true) return undefined;
  const agrees =
    ownRecord(pid, describeProcess(pid), readRecord(path)).own !== undefined &&
    incumbent(pid) !== undefined &&
    locksOn(name, path).callers.includes(pid);
  return agrees || undefined;
}

function signalByPid(pid: number, signal: number): Failure | typeof GONE | undefined {
  try {
    process.kill(pid, signal);
    return undefined;
  } catch (error) {
    const errno = -((error as NodeJS.ErrnoException).errno ?? EPERM);
    return errno === ESRCH ? GONE : { syscall: 'kill', errno };
  }
}

function notAcquired(): SystemFailure {
  const message = 'it holds a descriptor of the lock that it did not acquire';
  return Object.assign(new Error(message), { code: NOT_ACQUIRED });
}

function ofOthers(): SystemFailure {
  return new Error('/proc is that of another PID namespace here, where pids mean other processes');
}

// On Linux this user may not look at the descriptors of the process.
function unconfirmed(): NodeJS.ErrnoException {
  return process.platform === 'linux'
    ? systemError({ syscall: 'opendir', errno: EACCES })
    : new Error('the system does not tell whether it holds the lock');
}
