// What the Linux kernel says about locks and processes, read from /proc: without a probe that
// could get into a starter's way, and without opening anything for writing.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { basename } from 'node:path';
import { type FileLocks, type LockHolder, type ProcessFacts, UNLOCKED } from './kernel.js';
import { native } from './native.js';
import {
  deviceNumber,
  type LockLine,
  mountOf,
  parseCommandLine,
  parseLocks,
  parseMounts,
  parseStat,
  parseStatus,
  parseUserName,
  stateName,
} from './proc.js';

/** Clock ticks per second in /proc: USER_HZ, 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** How much of /proc/locks the kernel hands out at once, and consistently; about 76 locks. */
const TABLE_PAGE = 4096;

/**
 * One reading of the kernel's lock table, to look files up in. Throws what the reading throws.
 */
export class LockTable {
  readonly #lines = new Map<string, LockLine[]>();
  readonly #devices = new Map<bigint, string>();
  readonly #descriptors = new Map<number, Map<string, string[]> | undefined>();
  #allLocks: Set<string> | undefined;

  constructor() {
    const { text, reads } = readTable(TABLE_PAGE);
    for (const line of parseLocks(text)) {
      const lines = this.#lines.get(line.file);
      if (lines === undefined) this.#lines.set(line.file, [line]);
      else lines.push(line);
    }
    if (reads <= 1) this.#allLocks = new Set(this.#lines.keys());
  }

  /**
   * The locks on the file at `path`. Throws what lstat throws, unless there is no such file.
   */
  locksOn(path: string): FileLocks {
    const file = this.#keyOf(path);
    if (file === undefined) return UNLOCKED;
    const lines = this.#lines.get(file);
    if (lines === undefined) {
      return this.#missed(file) ? new LockTable().locksOn(path) : this.#unseen(path, file);
    }
    const held = lines.filter((line) => !line.waiting);
    if (held.length === 0) return { ...this.#unseen(path, file), waiters: lines.length };
    const callers = [...new Set(held.map((line) => line.pid))];
    return {
      held: true,
      shared: held.some((line) => line.shared),
      callers,
      holders: this.#holdersOf(path, file, callers),
      waiters: lines.length - held.length,
    };
  }

  /**
   * Who called flock for the locks on the file at `path` that the process has now, by the kernel's
   * word; `undefined` where it does not tell this user.
   */
  callersOf(pid: number, path: string): number[] | undefined {
    const file = this.#keyOf(path);
    return file === undefined ? [] : this.#lockedBy(pid, path, file);
  }

  // The table is read page by page, by position: an unlock in between shifts the rest, and an
  // entry at the border of two pages is in neither. Pages that overlap by half can't miss it.
  #missed(file: string): boolean {
    this.#allLocks ??= new Set(parseLocks(readTable(TABLE_PAGE / 2).text).map((line) => line.file));
    return this.#allLocks.has(file);
  }

  /**
   * The processes that have the locked file open. The table names who called flock; that one may
   * be dead, or may have closed it, while a child that inherited the descriptor holds on.
   */
  #holdersOf(path: string, file: string, callers: number[]): LockHolder[] {
    const holders = callers.flatMap((pid) => {
      if (pid <= 0) return [];
      // Another user's process, whose descriptors can't be read: the table's word stands, unless
      // it has ended.
      const confirmed = this.#lockedBy(pid, path, file) ?? (isAlive(pid) ? [pid] : []);
      return confirmed.map((caller) => ({ pid, caller }));
    });
    const found = new Set(holders.map(({ caller }) => caller));
    if (callers.every((caller) => found.has(caller))) return holders;
    return this.#everyHolder(path, file);
  }

  #everyHolder(path: string, file: string): LockHolder[] {
    return allPids().flatMap((pid) =>
      (this.#lockedBy(pid, path, file) ?? []).map((caller) => ({ pid, caller })),
    );
  }

  // In a PID namespace, the table leaves out whoever is outside of it, and callers that have died:
  // only an attempt tells whether the lock is held. A child of a dead caller can still be found.
  #unseen(path: string, file: string): FileLocks {
    if (link('/proc/self/ns/pid') === INITIAL_PID_NAMESPACE) return UNLOCKED;
    const state = native().lockState(path);
    if (state !== 'shared' && state !== 'exclusive') return UNLOCKED;
    const holders = this.#everyHolder(path, file);
    const callers = [...new Set(holders.map(({ caller }) => caller))];
    return { held: true, shared: state === 'shared', callers, holders, waiters: 0 };
  }

  /**
   * Who called flock for the locks on the file whose descriptors the process has; `undefined`
   * where this user may not look.
   */
  #lockedBy(pid: number, path: string, file: string): number[] | undefined {
    if (!this.#descriptors.has(pid)) this.#descriptors.set(pid, descriptorsOf(pid));
    const descriptors = this.#descriptors.get(pid);
    if (descriptors === undefined) return undefined;
    const callers = (descriptors.get(basename(path)) ?? [])
      .flatMap((fdinfo) => parseLocks(read(fdinfo) ?? ''))
      .filter((line) => line.file === file);
    return [...new Set(callers.map((line) => line.pid))];
  }

  // As /proc/locks writes it: stat's device is another one on btrfs and on overlayfs, whose
  // files have anonymous devices (major 0).
  #keyOf(path: string): string | undefined {
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    let device = this.#devices.get(stat.dev);
    if (device === undefined) {
      device = deviceNumber(stat.dev);
      if (device.startsWith('00:')) device = deviceOfMount(path) ?? device;
      this.#devices.set(stat.dev, device);
    }
    return `${device}:${stat.ino}`;
  }
}

/** Reads /proc/locks in pages that start `step` bytes apart. */
function readTable(step: number): { text: string; reads: number } {
  const page = Buffer.alloc(TABLE_PAGE);
  const parts: string[] = [];
  const fd = openSync('/proc/locks', 'r');
  try {
    // Containers mask parts of /proc with /dev/null, which looks like a table without a lock.
    if (!fstatSync(fd).isFile()) throw new Error('/proc/locks is masked');
    for (let at = 0; ; ) {
      const size = readSync(fd, page, 0, TABLE_PAGE, at);
      if (size === 0)
        return { text: parts.join(step === TABLE_PAGE ? '' : '\n'), reads: parts.length };
      parts.push(page.toString('latin1', 0, size));
      at += Math.min(step, size);
    }
  } finally {
    closeSync(fd);
  }
}

/** PROC_PID_INIT_INO of the kernel's proc_ns.h, which is the same on every machine. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

// The fdinfo files of a process by the base names of what its descriptors lead to; reading a link
// touches no file system, where a stat could hang on a dead network mount.
function descriptorsOf(pid: number): Map<string, string[]> | undefined {
  const descriptors = new Map<string, string[]>();
  try {
    let [thread, names] = descriptorsIn(`/proc/${pid}`);
    // The first thread of a process can end before the others: it looks like a zombie then, and
    // has no descriptors any more.
    if (names.length === 0) {
      const threads = readdirSync(`/proc/${pid}/task`);
      [thread, names] = threads
        .map((id) => descriptorsIn(`/proc/${pid}/task/${id}`))
        .find(([, found]) => found.length > 0) ?? [thread, names];
    }
    for (const fd of names) {
      const target = basename(link(`${thread}/fd/${fd}`) ?? '');
      descriptors.set(target, [...(descriptors.get(target) ?? []), `${thread}/fdinfo/${fd}`]);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
  }
  return descriptors;
}

function descriptorsIn(thread: string): [thread: string, names: string[]] {
  return [thread, readdirSync(`${thread}/fd`)];
}

function isAlive(pid: number): boolean {
  const state = parseStat(read(`/proc/${pid}/stat`) ?? '')?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

/** Names the file without opening it; the same number on every architecture of Node's. */
const O_PATH = 0o10000000;

// The device of the file system that the file is on, by its mount.
function deviceOfMount(path: string): string | undefined {
  try {
    const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
    try {
      const id = /^mnt_id:\t(\d+)/m.exec(read(`/proc/self/fdinfo/${fd}`) ?? '')?.[1];
      const mounts = parseMounts(read('/proc/self/mountinfo') ?? '');
      const device = mounts
        .find((mount) => mount.id === id)
        ?.device.split(':')
        .map(Number);
      return device?.map((part) => part.toString(16).padStart(2, '0')).join(':');
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** See `ProcessFacts.startToken`; `undefined` where there is no such process. */
export function startToken(pid: number): string | undefined {
  const stat = parseStat(read(`/proc/${pid}/stat`) ?? '');
  const boot = bootId();
  return stat === undefined || boot === undefined ? undefined : `${boot}:${stat.startTicks}`;
}

/** Everything that can be known of a process now. */
export function describeProcess(pid: number): ProcessFacts {
  const base = `/proc/${pid}`;
  const stat = parseStat(read(`${base}/stat`) ?? '');
  const status = parseStatus(read(`${base}/status`) ?? '');
  const uptime = Number.parseFloat(read('/proc/uptime') ?? '');
  const boot = bootId();
  const age =
    stat === undefined || Number.isNaN(uptime)
      ? undefined
      : uptime - stat.startTicks / TICKS_PER_SECOND;
  return {
    startToken: stat && boot ? `${boot}:${stat.startTicks}` : undefined,
    startedAt: age === undefined ? undefined : new Date(Date.now() - age * 1000),
    executable: link(`${base}/exe`),
    argv: parseCommandLine(read(`${base}/cmdline`) ?? ''),
    cwd: link(`${base}/cwd`),
    user: status.uid === undefined ? undefined : userName(status.uid),
    status: stat && stateName(stat.state),
    cpuPercent:
      stat === undefined || age === undefined || age <= 0
        ? undefined
        : Math.round((stat.cpuTicks / TICKS_PER_SECOND / age) * 1000) / 10,
    memoryBytes: status.memoryBytes,
  };
}

/**
 * Why a lock in `directory` may be invisible to the rest of the machine, in a few words;
 * `undefined` where nothing speaks for that.
 */
export function privateDirectory(directory: string): string | undefined {
  const mounts = parseMounts(read('/proc/self/mountinfo') ?? '');
  const mount = mountOf(mounts, directory);
  if (mount === undefined) return undefined;
  if (mount.point !== '/' && /(^|\/)systemd-private-/.test(mount.root)) {
    return "this service has a private /tmp (systemd's PrivateTmp=)";
  }
  if (mount.point === '/' && mount.type === 'overlay') return 'this is a container';
  // Everybody may read where the first process has its mounts.
  const first = mountOf(parseMounts(read('/proc/1/mountinfo') ?? ''), directory);
  if (first !== undefined && (first.device !== mount.device || first.root !== mount.root)) {
    return 'this process has a mount namespace of its own';
  }
  return undefined;
}

/** The type of the file system that `directory` is on, such as `ext4` or `nfs4`. */
export function fileSystemOf(directory: string): string | undefined {
  return mountOf(parseMounts(read('/proc/self/mountinfo') ?? ''), directory)?.type;
}

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

let bootIdOfKernel: string | undefined;

function bootId(): string | undefined {
  bootIdOfKernel ??= read('/proc/sys/kernel/random/boot_id')?.trim();
  return bootIdOfKernel;
}

// From the system's own list; who is known elsewhere only (LDAP) is shown as a number.
function userName(uid: number): string {
  return parseUserName(read('/etc/passwd') ?? '', uid) ?? String(uid);
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
