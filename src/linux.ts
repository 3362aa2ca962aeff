// What the Linux kernel says about locks, read from /proc: without a probe that could get into a
// starter's way, and without opening anything for writing.

import { lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { type FileLocks, type LockHolder, NO_PID, UNLOCKED } from './kernel.js';
import {
  type Descriptor,
  type Descriptors,
  descriptorsOf,
  isAttempt,
  isOnDevice,
  openDescriptors,
  soleOpener,
} from './linux-descriptors.js';
import { isShared, mountOfFile } from './linux-mounts.js';
import { allPids, isAlive, isEnding, startToken } from './linux-process.js';
import { readTable, readTableOverlapping } from './linux-table.js';
import { native } from './native.js';
import { deviceNumber, type LockLine, parseLocks } from './proc.js';

export { fileSystemOf, privateDirectory } from './linux-mounts.js';
export { describeProcess, ownStartToken, pidsAreOurs, startToken } from './linux-process.js';

/** A file as /proc/locks names it, and what of its file system that table does not show. */
interface FileKey {
  key: string;
  /** The device as stat has it, where the table has one for several subvolumes. */
  subvolume: bigint | undefined;
  unknown: readonly string[];
}

/** How often it is read where a reading has missed entries, or is contradicted by a later look. */
const MOST_READINGS = 3;

/**
 * One reading of the kernel's lock table, to look files up in. Throws what the reading throws.
 */
export class LockTable {
  readonly #lines: Map<string, LockLine[]>;
  readonly #devices = new Map<bigint, Omit<FileKey, 'key'> & { device: string }>();
  readonly #descriptors = new Map<number, Descriptors | undefined>();
  #overlapping: Map<string, LockLine[]> | undefined;
  #showsAll: boolean | undefined;
  #pids: number[] | undefined;
  #later: LockTable | undefined;

  constructor() {
    this.#lines = readTable();
  }

  /**
   * The locks on the file at `path`. Throws what lstat throws, unless there is no such file.
   */
  locksOn(path: string, readings = MOST_READINGS): FileLocks {
    const file = this.#keyOf(path);
    if (file === undefined) return UNLOCKED;
    const { key, unknown } = file;
    const anew = () => {
      this.#later ??= new LockTable();
      return this.#later.locksOn(path, readings - 1);
    };
    const once = this.#lines.get(key);
    if (once === undefined && this.#missed(key) && readings > 1) return anew();
    const lines = once ?? this.#overlapping?.get(key);
    if (lines === undefined) return this.#unseen(path, file);
    const all = lines.filter((line) => !line.waiting);
    // In the initial namespace the table names every holder: one that opened the file in that way, too.
    const held = this.#showsAllLocks()
      ? all
      : all.filter(({ pid }) => !this.#tries(pid, path, file));
    const waiters = once && waitersOf(once); // elsewhere some stand twice
    const tried = held.length < all.length;
    if (held.length === 0) return { ...this.#unseen(path, file), waiters, tried };
    const shared = held.some((line) => line.shared);
    const missed = shared ? this.#missedHolders(key) : [];
    // Which is read later: the readers have let a writer in meanwhile.
    if (missed.some((line) => !line.shared) && readings > 1) return anew();
    const readers = missed.filter((line) => line.shared);
    const orphans = shared ? this.#orphans(path, file) : [];
    const callers = [...new Set([...held, ...readers, ...orphans].map((line) => line.pid))];
    const holders = this.#holdersOf(path, file, callers);
    // So are descriptors: who does not show the lock there has let go of it, or ended, as a rule.
    const isConfirmed = holders.length > 0 && !holders.some((one) => one.elsewhere);
    if (!isConfirmed && readings > 1) return anew();
    return {
      held: true,
      shared,
      callers,
      holders,
      waiters,
      tried: tried || holders.some((one) => one.elsewhere && this.#tries(one.pid, path, file)),
      unknown: holders.some((one) => !one.elsewhere)
        ? unknown
        : [...unknown, holders.length > 0 ? ELSEWHERE : notFound(file)],
    };
  }

  /** Whether somebody holds a lock on the file at `path`; who that is, is not looked for. */
  isHeld(path: string): boolean {
    const file = this.#keyOf(path);
    if (file === undefined) return false;
    if (this.#lines.get(file.key)?.some((line) => !line.waiting)) return true;
    return this.#missedHolders(file.key).length > 0 || this.#unseen(path, file).held;
  }

  /**
   * Who called flock for the locks on the file at `path` that the process has now, by the kernel's
   * word; `undefined` where it does not tell this user. One that is ending has none.
   */
  callersOf(pid: number, path: string): number[] | undefined {
    const file = this.#keyOf(path);
    if (file === undefined) return [];
    return this.#lockedBy(pid, path, file) ?? (isEnding(pid) ? [] : undefined);
  }

  /**
   * The one user, beside root, who can have opened what the process has of the lock that `caller`
   * acquired on the file at `path`; `undefined` where several can, or where this user may not look.
   */
  openerOf(pid: number, caller: number, path: string): number | undefined {
    const file = this.#keyOf(path);
    const openers = (file && this.#open(pid, path, file))
      ?.filter(({ fdinfo }) =>
        parseLocks(fdinfo).some((line) => line.pid === caller && line.file === file?.key),
      )
      .map(soleOpener);
    const [opener, ...others] = new Set(openers);
    return others.length === 0 ? opener : undefined;
  }

  #missed(key: string): boolean {
    this.#overlapping ??= readTableOverlapping();
    return this.#overlapping.has(key);
  }

  #missedHolders(key: string): LockLine[] {
    if (!this.#missed(key)) return [];
    return this.#overlapping?.get(key)?.filter((line) => !line.waiting) ?? [];
  }

  // Beside other readers: those that the table leaves out in a PID namespace, as in #unseen.
  #orphans(path: string, file: FileKey): { pid: number }[] {
    if (this.#showsAllLocks()) return [];
    const found = this.#everyHolder(path, file).some(({ caller }) => caller === NO_PID);
    return found ? [{ pid: NO_PID }] : [];
  }

  /**
   * The processes that have the locked file open. The table names who called flock; that one may
   * be dead, or may have closed it, while a child that inherited the descriptor holds on.
   */
  #holdersOf(path: string, file: FileKey, callers: number[]): LockHolder[] {
    const holders = callers.flatMap((pid) => {
      if (pid <= 0) return [];
      const locked = this.#lockedBy(pid, path, file);
      if (locked !== undefined) return locked.map((caller) => this.#holder(pid, caller));
      // Another user's process, whose descriptors can't be read: the table's word stands, unless
      // it has ended.
      const token = startToken(pid);
      return isAlive(pid) ? [{ pid, caller: pid, startToken: token, unconfirmed: true }] : [];
    });
    const found = new Set(holders.map(({ caller }) => caller));
    if (callers.every((caller) => found.has(caller))) return holders;
    // Who was named on the table's word only may be a stranger with a dead caller's pid.
    const all = this.#everyHolder(path, file);
    const confirmed = new Set(all.map(({ caller }) => caller));
    const unconfirmed = holders.filter((one) => one.unconfirmed && !confirmed.has(one.caller));
    for (const one of unconfirmed) confirmed.add(one.caller);
    // A snapshot's copy of the file has the same name in the table, and a holder of its own.
    const others = file.subvolume === undefined ? callers.filter((pid) => !confirmed.has(pid)) : [];
    return [...all, ...unconfirmed, ...others.flatMap(elsewhere)];
  }

  #everyHolder(path: string, file: FileKey): LockHolder[] {
    this.#pids ??= allPids();
    return this.#pids.flatMap((pid) =>
      (this.#lockedBy(pid, path, file) ?? []).map((caller) => this.#holder(pid, caller)),
    );
  }

  #holder(pid: number, caller: number): LockHolder {
    return { pid, caller, startToken: this.#descriptors.get(pid)?.startToken };
  }

  // In a PID namespace, the table leaves out whoever is outside of it, and callers that have died:
  // only an attempt tells whether the lock is held. A child of a dead caller can still be found.
  #unseen(path: string, file: FileKey): FileLocks {
    const { unknown } = file;
    const free = unknown.length === 0 ? UNLOCKED : { ...UNLOCKED, unknown };
    if (this.#showsAllLocks()) return free;
    const state = native().lockState(path);
    if (state === undefined) return { ...UNLOCKED, unknown: [...unknown, NOT_TRIED] };
    if (state === 'free') return free;
    const holders = this.#everyHolder(path, file);
    const callers = [...new Set(holders.map(({ caller }) => caller))];
    const reasons = holders.length > 0 ? unknown : [...unknown, OUTSIDE];
    // Whoever waits outside is left out as well.
    const waiters = undefined;
    return { held: true, shared: state === 'shared', callers, holders, waiters, unknown: reasons };
  }

  /**
   * Who called flock for the locks on the file whose descriptors the process has; `undefined`
   * where this user may not look.
   */
  #lockedBy(pid: number, path: string, file: FileKey): number[] | undefined {
    const callers = this.#open(pid, path, file)
      ?.filter((descriptor) => !isAttempt(descriptor))
      .flatMap(({ fdinfo }) => parseLocks(fdinfo))
      .filter((line) => line.file === file.key);
    return callers && [...new Set(callers.map((line) => line.pid))];
  }

  /** The process's descriptors of the file, or of one of that name; `undefined` as above. */
  #open(pid: number, path: string, { subvolume }: FileKey): Descriptor[] | undefined {
    if (!this.#descriptors.has(pid)) this.#descriptors.set(pid, descriptorsOf(pid));
    const found = this.#descriptors.get(pid);
    return (
      found &&
      openDescriptors(found, basename(path)).filter(
        (descriptor) => subvolume === undefined || isOnDevice(descriptor, subvolume),
      )
    );
  }

  // Whether the process, which the table names, only tries the lock: see #unseen.
  #tries(pid: number, path: string, file: FileKey): boolean {
    const attempts = this.#open(pid, path, file)?.filter(isAttempt) ?? [];
    return attempts
      .flatMap(({ fdinfo }) => parseLocks(fdinfo))
      .some((line) => line.file === file.key);
  }

  #showsAllLocks(): boolean {
    this.#showsAll ??= link('/proc/self/ns/pid') === INITIAL_PID_NAMESPACE;
    return this.#showsAll;
  }

  // As /proc/locks writes it: stat's device is another one on btrfs and on overlayfs, whose
  // files have anonymous devices (major 0).
  #keyOf(path: string): FileKey | undefined {
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    let found = this.#devices.get(stat.dev);
    if (found === undefined) {
      const device = deviceNumber(stat.dev);
      const mount = device.startsWith('00:') ? mountOfFile(path) : undefined;
      found = {
        device: mount === undefined ? device : hexadecimal(mount.device),
        subvolume: mount?.type === 'btrfs' ? stat.dev : undefined,
        unknown: mount !== undefined && isShared(mount) ? [REMOTE] : [],
      };
      this.#devices.set(stat.dev, found);
    }
    const { device, subvolume, unknown } = found;
    return { key: `${device}:${stat.ino}`, subvolume, unknown };
  }
}

// The table names it, and it lives, but none of its descriptors that were looked at has the lock: the file
// was opened under another name (a bind mount), or by a thread with descriptors of its own, or in the way
// of one who only asks (see state_linux.cc).
function elsewhere(pid: number): LockHolder[] {
  const token = pid > 0 ? startToken(pid) : undefined;
  if (token === undefined || !isAlive(pid)) return [];
  return [{ pid, caller: pid, startToken: token, unconfirmed: true, elsewhere: true }];
}

// Those who wait for a lock follow it, in one piece. A lock that another one has pushed over the border
// of two pages stands there twice.
function waitersOf(lines: readonly LockLine[]): number {
  const most = new Map<number, number>();
  let holder = NO_PID;
  let count = 0;
  for (const { pid, waiting } of lines) {
    if (!waiting) holder = pid;
    count = waiting ? count + 1 : 0;
    most.set(holder, Math.max(count, most.get(holder) ?? 0));
  }
  return [...most.values()].reduce((sum, each) => sum + each, 0);
}

const ELSEWHERE =
  'That this process holds it is what the lock table says; none of its descriptors shows the lock';
const NOT_FOUND =
  'Who holds it could not be found: the process that acquired it has ended, or is hidden from this user';
const notFound = ({ subvolume }: FileKey) => (subvolume === undefined ? NOT_FOUND : IN_ANOTHER);
const IN_ANOTHER =
  'Who holds it could not be found: on btrfs, the kernel does not tell this lock file from its copy in a snapshot or another subvolume, which may be the one that is held';
const NOT_TRIED =
  'Whether a process outside of this PID namespace (container) holds it is not known: this user can not read the lock file';
const REMOTE =
  'The lock file is on a network file system: locks that other computers hold are not shown here';
const OUTSIDE =
  'The holder is outside of this PID namespace (container), where the kernel does not show it';

/** PROC_PID_INIT_INO of the kernel's proc_ns.h, which is the same on every machine. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

const hexadecimal = (device: string) =>
  device
    .split(':')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join(':');

/**
 * The last `count` arguments of this process as bytes, one character each: what Node makes of
 * them is no longer what was typed where that was not UTF-8. `undefined` where they can't be read.
 */
export function rawArguments(count: number): string[] | undefined {
  const line = read('/proc/self/cmdline', 'latin1');
  return line?.endsWith('\0') ? line.slice(0, -1).split('\0').slice(-count) : undefined;
}

/** A variable of the environment that this process was started with, whatever became of it. */
export function initialVariable(name: string): string | undefined {
  const variables = (read('/proc/self/environ') ?? '').split('\0');
  return variables.find((variable) => variable.startsWith(`${name}=`))?.slice(name.length + 1);
}

function read(path: string, encoding: BufferEncoding = 'utf8'): string | undefined {
  try {
    return readFileSync(path, encoding);
  } catch {
    return undefined;
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
