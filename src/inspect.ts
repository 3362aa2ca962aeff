import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { type LockError, LockPathError, LockSystemError } from './errors.js';
import { type FileLocks, type LockHolder, type ProcessFacts, UNLOCKED } from './kernel.js';
import { checkInput, checkOptions, LOCATION_OPTIONS } from './options.js';
import { type OwnerRecord, readRecord } from './owner.js';
import { lockDirectory, lockFile, nameOfFile } from './path.js';
import { heldMilliseconds } from './report.js';
import { describeProcess, LockTable, startToken } from './system.js';
import type { Holder, LocationOptions, LockStatus } from './types.js';

/**
 * Who holds the lock now, as the kernel has it: it reads the kernel's lock table and tries no
 * lock itself, so it disturbs neither a holder nor a starter. A lock that never existed is
 * not held; where something else than a regular file stands in the place of the lock file, nobody can
 * acquire it, and `unknown` says so. One exception: inside a PID namespace (a container) the table does not show who is
 * outside; a lock that nobody visible holds is tried there for an instant, and this package's
 * starters look again before they refuse.
 *
 * @throws LockError `LOCK_INVALID_NAME`, `LOCK_INVALID_OPTION`; and, because then nothing is known,
 *   `LOCK_PERMISSION` where this user may not look into the directory, `LOCK_SYSTEM` where the
 *   kernel's table can't be read.
 */
export function inspect(name: string, options: LocationOptions = {}): LockStatus {
  const path = lockFile(name, checkInput(name, options, LOCATION_OPTIONS));
  return statusOf(name, path, locksOn(name, path));
}

/**
 * The held locks of a scope or directory, by name. A directory that is not there has none.
 *
 * @throws LockError `LOCK_INVALID_OPTION`; `LOCK_PERMISSION` where this user may not read the
 *   directory.
 */
export function list(options: LocationOptions = {}): LockStatus[] {
  const directory = lockDirectory(checkOptions(options, LOCATION_OPTIONS));
  let files: string[];
  try {
    // What else stands there is told by the directory itself, without a look at each.
    const entries = readdirSync(directory, { withFileTypes: true });
    files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw unreadable(cause, undefined, directory);
  }
  const table = readLockTable(directory);
  const held: [name: string, path: string, locks: FileLocks][] = [];
  for (const file of files.sort()) {
    const name = nameOfFile(file);
    if (name === undefined) continue;
    const path = lockFile(name, { directory });
    const locks = locksOnFile(name, path, table);
    if (locks.held) held.push([name, path, locks]);
  }
  // Only then, and once: a process may hold any number of locks.
  const described = new Map<number, ProcessFacts>();
  const describe = (pid: number) => {
    const facts = described.get(pid) ?? describeProcess(pid);
    described.set(pid, facts);
    return facts;
  };
  return held.map(([name, path, locks]) => statusOf(name, path, locks, describe));
}

/**
 * Whether somebody holds the lock now. Like `inspect`, it disturbs nobody. Whoever starts a
 * program on the strength of `false` may still lose the race: acquire instead of asking.
 *
 * @throws LockError as `inspect`.
 */
export function checkRunning(name: string, options: LocationOptions = {}): boolean {
  const path = lockFile(name, checkInput(name, options, LOCATION_OPTIONS));
  try {
    return whatElse(path) === undefined && new LockTable().isHeld(path);
  } catch (cause) {
    throw unreadable(cause, name, path);
  }
}

/** What the kernel says of the lock. Throws `LOCK_PERMISSION` where it may not be asked. */
export function locksOn(name: string, path: string): FileLocks {
  const other = whatElse(path);
  if (other !== undefined) return { ...UNLOCKED, waiters: undefined, unknown: [notLocked(other)] };
  return locksOnFile(name, path);
}

function locksOnFile(name: string, path: string, table?: LockTable): FileLocks {
  try {
    return holdersOnly(path, (table ?? new LockTable()).locksOn(path));
  } catch (cause) {
    throw unreadable(cause, name, path);
  }
}

// What stands at the path, if that is no lock file. Whoever has that locked holds no lock of ours.
function whatElse(path: string): string | undefined {
  let stat: Stats | undefined;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // asking the kernel will fail too, and tell
  }
  if (stat === undefined || stat.isFile()) return undefined;
  if (stat.isSymbolicLink()) return 'a symbolic link';
  if (stat.isDirectory()) return 'a directory';
  if (stat.isFIFO()) return 'a FIFO';
  return stat.isSocket() ? 'a socket' : 'a device';
}

const notLocked = (other: string) =>
  `Whether it is running is not known: ${other} stands in the place of its lock file, so nobody can acquire the lock, and who did before can not be found`;

// Where the kernel does not tell holders from waiters, or names nobody, the record tells who holds
// it, if that process lives (and is among those that the kernel names); else nobody is named.
function holdersOnly(path: string, locks: FileLocks): FileLocks {
  if (locks.needsRecord !== true) return locks;
  const { pid, startToken: token } = readRecord(path) ?? {};
  const own = locks.callers.filter((caller) => caller === process.pid); // that is known by itself
  const others = locks.callers.filter((caller) => caller !== process.pid);
  const confirmed =
    pid !== undefined &&
    pid !== process.pid &&
    token !== undefined &&
    token === startToken(pid) &&
    (others.length === 0 || others.includes(pid));
  const callers = confirmed ? [...own, pid] : own;
  const holders = callers.map((caller) => ({ pid: caller, caller }));
  return { ...locks, holders, callers, unknown: confirmed ? [] : [openersOnly(own)] };
}

function openersOnly(own: readonly number[]): string {
  return `Who ${own.length > 0 ? 'else ' : ''}holds it is not known: this system tells at most who has the lock file open, and its owner record names none of them`;
}

function readLockTable(directory: string): LockTable {
  try {
    return new LockTable();
  } catch (cause) {
    throw unreadable(cause, undefined, directory);
  }
}

// EPERM: what libuv makes of Windows' refusal, and macOS' of a folder that this program may not see.
const UNREADABLE_CODES = ['EACCES', 'EPERM', 'ENOTDIR', 'ENAMETOOLONG'];

function unreadable(cause: unknown, lockName: string | undefined, path: string): LockError {
  const { code, message, syscall, errno } = cause as NodeJS.ErrnoException;
  const text = `Nothing can be told about locks here: ${message}`;
  const details = {
    lockName,
    path,
    syscall,
    errno: errno === undefined ? undefined : -errno,
    cause,
  };
  return UNREADABLE_CODES.includes(code ?? '')
    ? new LockPathError('LOCK_PERMISSION', text, details)
    : new LockSystemError(text, details);
}

/** What the kernel said, joined with what the record says of the same process. */
export function statusOf(
  name: string,
  path: string,
  locks: FileLocks,
  describe: (pid: number) => ProcessFacts = describeProcess,
): LockStatus {
  const { held, shared, waiters } = locks;
  const unknown = new Set(locks.unknown);
  const record = held ? readRecord(path) : undefined;
  const holders: Holder[] = [];
  if (held && locks.callers.length === 0 && record !== undefined && !locks.needsRecord) {
    holders.push(claimedHolder(record));
    unknown.add(CLAIMED);
  }
  const source = locks.needsRecord ? 'record' : 'kernel';
  for (const one of new Map(locks.holders.map((holder) => [holder.pid, holder])).values()) {
    const facts = describe(one.pid);
    const another = whyAnother(one, facts, record);
    if (another !== undefined) {
      unknown.add(another);
      continue;
    }
    const { own, reason } = ownRecord(one.pid, facts, record);
    const holder = holderOf(one.pid, facts, own, source);
    if (reason !== undefined) unknown.add(reason);
    if (holder.acquiredAt !== undefined && heldMilliseconds(holder) === undefined) {
      unknown.add(CLOCK_SET);
    }
    if (facts.hidden && !(holder.executable && holder.cwd)) unknown.add(HIDDEN);
    holders.push(holder);
  }
  return { name, path, held, shared, holders, waiters, unknown: [...unknown] };
}

const CLAIMED =
  "What is told of the holder is what its owner record says, with its own namespace's PID";
const ENDED = 'The process that acquired it has ended; who holds on to it could not be found';
const UNCERTAIN =
  'Who holds it is not certain: the owner record contradicts the kernel, but another user could have forged it; this user may not look into the process';
const HIDDEN =
  "Another user's process: the system tells all of it only to that user, and to root with CAP_SYS_PTRACE";
const NO_RECORD =
  'Since when it is held is not known: no owner record of its holder is in the lock file, or another reader replaced it';
const CLOCK_SET =
  'How long it has been held is not known: the clock was set since, to before or long after that';
const DISTRUSTED =
  'Since when it is held is not known: another user than the holder can write the lock file, and so its owner record';

// The pid is somebody else's by now: the process that was seen to hold it has ended, or the one
// that only the table names is not the one that wrote the record.
function whyAnother(
  holder: LockHolder,
  facts: ProcessFacts,
  record: OwnerRecord | undefined,
): string | undefined {
  const differs = (token: string | undefined) => token !== undefined && token !== facts.startToken;
  if (differs(holder.startToken)) return ENDED;
  if (!holder.unconfirmed || record?.pid !== holder.pid || !differs(record.startToken)) return;
  return isForgeable(record, facts) ? UNCERTAIN : ENDED;
}

// Whether another user than the process's own and root could have written the record.
function isForgeable({ writer }: OwnerRecord, { uid }: ProcessFacts): boolean {
  return uid !== undefined && writer !== 0 && writer !== uid;
}

/**
 * @internal The record is joined by identity, pid and start token: that of an earlier holder tells
 * nothing about this one. Nor does one that somebody else than the holder and root could have written.
 */
export function ownRecord(
  pid: number,
  facts: ProcessFacts,
  record: OwnerRecord | undefined,
): { own?: OwnerRecord; reason?: string } {
  const isOwn =
    record?.startToken !== undefined &&
    record.startToken === facts.startToken &&
    (record.pid === pid || facts.innerPids.includes(record.pid));
  if (!isOwn) return { reason: NO_RECORD };
  return isForgeable(record, facts) ? { reason: DISTRUSTED } : { own: record };
}

function holderOf(
  pid: number,
  facts: ProcessFacts,
  own: OwnerRecord | undefined,
  source: Holder['source'],
): Holder {
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
    source,
  };
}

// The lock is held by a process that can't be seen from here, in another PID namespace: what the
// record says is all there is, and its pid is that namespace's.
function claimedHolder(record: OwnerRecord): Holder {
  const { pid, acquiredAt, executable, argv, cwd, user, hostname, metadata } = record;
  return {
    pid,
    acquiredAt,
    processStartedAt: undefined,
    executable,
    argv,
    cwd,
    user,
    hostname,
    status: undefined,
    cpuPercent: undefined,
    memoryBytes: undefined,
    metadata,
    source: 'record',
  };
}
