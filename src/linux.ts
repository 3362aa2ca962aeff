// What the Linux kernel says about locks and processes, read from /proc: without a probe that
// could get into a starter's way, and without opening anything for writing.

import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
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

/** What the kernel says of one process. */
export interface ProcessFacts {
  /** Differs between any two processes that ever had the same pid, across reboots too. */
  startToken: string | undefined;
  startedAt: Date | undefined;
  executable: string | undefined;
  argv: string[] | undefined;
  cwd: string | undefined;
  user: string | undefined;
  status: string | undefined;
  cpuPercent: number | undefined;
  memoryBytes: number | undefined;
}

/** What the kernel says of the locks on one file. */
export interface FileLocks {
  held: boolean;
  shared: boolean;
  /** Who called flock for it, as the lock table has it; may be dead while a child holds on. */
  callers: number[];
  /** The processes that hold it, as far as they can be told. */
  pids: number[];
  waiters: number;
}

export const UNLOCKED: FileLocks = {
  held: false,
  shared: false,
  callers: [],
  pids: [],
  waiters: 0,
};

/** One reading of the kernel's lock table, to look files up in. */
export class LockTable {
  readonly #lines = new Map<string, LockLine[]>();

  constructor() {
    for (const line of parseLocks(read('/proc/locks') ?? '')) {
      const lines = this.#lines.get(line.file);
      if (lines === undefined) this.#lines.set(line.file, [line]);
      else lines.push(line);
    }
  }

  /** The locks on the file at `path`; a path that can't be looked at is not locked. */
  locksOn(path: string): FileLocks {
    const file = fileKey(path);
    const lines = file === undefined ? undefined : this.#lines.get(file);
    if (file === undefined || lines === undefined) return UNLOCKED;
    const held = lines.filter((line) => !line.waiting);
    const callers = [...new Set(held.map((line) => line.pid))];
    return {
      held: held.length > 0,
      shared: held.some((line) => line.shared),
      callers,
      pids: holdersOf(file, callers),
      waiters: lines.length - held.length,
    };
  }
}

/**
 * The processes that have the locked file open. The table names who called flock; that one may
 * be dead, or may have closed it, while a child that inherited the descriptor holds on.
 */
function holdersOf(file: string, callers: number[]): number[] {
  const holders = new Set<number>();
  for (const pid of callers) {
    const has = pid > 0 ? hasLocked(pid, file) : false;
    // 'unknown': another user's process, whose descriptors can't be read. It is alive, so the
    // table's word stands.
    if (has === true || has === 'unknown') holders.add(pid);
  }
  if (holders.size < callers.length) {
    for (const pid of allPids()) if (hasLocked(pid, file) === true) holders.add(pid);
  }
  return [...holders];
}

/** Whether the kernel confirms that the process holds a lock on the file at `path` now. */
export function holdsLock(pid: number, path: string): boolean | 'unknown' {
  const file = fileKey(path);
  return file !== undefined && hasLocked(pid, file);
}

/** Whether the process has a descriptor that the lock belongs to. */
function hasLocked(pid: number, file: string): boolean | 'unknown' {
  const base = `/proc/${pid}`;
  let descriptors: string[];
  try {
    descriptors = readdirSync(`${base}/fd`);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'unknown' : false;
  }
  return descriptors.some((fd) => {
    if (keyOfStat(statOrUndefined(`${base}/fd/${fd}`, statSync)) !== file) return false;
    return parseLocks(read(`${base}/fdinfo/${fd}`) ?? '').some((line) => line.file === file);
  });
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

function fileKey(path: string): string | undefined {
  return keyOfStat(statOrUndefined(path, lstatSync));
}

interface FileId {
  dev: bigint;
  ino: bigint;
}

function keyOfStat(stat: FileId | undefined): string | undefined {
  return stat === undefined ? undefined : `${deviceNumber(stat.dev)}:${stat.ino}`;
}

function statOrUndefined(
  path: string,
  stat: (path: string, options: { bigint: true; throwIfNoEntry: false }) => FileId | undefined,
): FileId | undefined {
  try {
    return stat(path, { bigint: true, throwIfNoEntry: false });
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

let bootIdOfKernel: string | undefined;

function bootId(): string | undefined {
  bootIdOfKernel ??= read('/proc/sys/kernel/random/boot_id')?.trim();
  return bootIdOfKernel;
}

// From the system's own list; who is known elsewhere only (LDAP) is shown as a number.
function userName(uid: number): string {
  return parseUserName(read('/etc/passwd') ?? '', uid) ?? String(uid);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
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
