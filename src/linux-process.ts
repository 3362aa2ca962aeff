// What the Linux kernel says of processes, read from /proc.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { ProcessFacts } from './kernel.js';
import {
  parseBootTime,
  parseCommandLine,
  parseStat,
  parseStatus,
  parseUserName,
  stateName,
} from './proc.js';

/** Clock ticks per second in /proc: USER_HZ, 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** See `ProcessFacts.startToken`; `undefined` where there is no such process. */
export function startToken(pid: number): string | undefined {
  return tokenOf(parseStat(read(`/proc/${pid}/stat`) ?? '')?.startTicks);
}

/** The same of this process, whatever its pid is in /proc. */
export function ownStartToken(): string | undefined {
  return tokenOf(parseStat(read('/proc/self/stat') ?? '')?.startTicks);
}

/**
 * Whether a pid of /proc means the same process in a system call. Not so in a PID namespace that sees the
 * /proc of another one, as after `nsenter --pid` and `unshare --pid` without `--mount-proc`.
 */
export function pidsAreOurs(): boolean {
  return target('/proc/self') === String(process.pid);
}

/**
 * Everything that can be known of a process now. Its start token is read last: where it is what
 * it was before this was called, everything else is of the same process.
 */
export function describeProcess(pid: number): ProcessFacts {
  let base = `/proc/${pid}`;
  let status = parseStatus(read(`${base}/status`) ?? '');
  if (status.state === 'Z') {
    base = taskOf(pid);
    status = parseStatus(read(`${base}/status`) ?? '');
  }
  const executable = target(`${base}/exe`);
  const cwd = target(`${base}/cwd`);
  const argv = parseCommandLine(read(`${base}/cmdline`) ?? '');
  const stat = parseStat(read(`/proc/${pid}/stat`) ?? '');
  if (stat === undefined) return GONE;
  const startedAt = timeOfTicks(stat.startTicks);
  const age = startedAt === undefined ? undefined : (Date.now() - startedAt) / 1000;
  return {
    startToken: tokenOf(stat.startTicks),
    innerPids: status.innerPids,
    startedAt: startedAt === undefined ? undefined : new Date(startedAt),
    executable: executable ?? undefined,
    argv,
    cwd: cwd ?? undefined,
    uid: status.uid,
    soleUid: status.soleUid,
    processGroup: stat.processGroup,
    user: status.uid === undefined ? undefined : userName(status.uid),
    status: stateName(stat.state),
    cpuPercent:
      age === undefined || age <= 0
        ? undefined
        : Math.round((stat.cpuTicks / TICKS_PER_SECOND / age) * 1000) / 10,
    memoryBytes: status.memoryBytes,
    hidden: executable === null || cwd === null,
  };
}

const GONE: ProcessFacts = {
  startToken: undefined,
  innerPids: [],
  startedAt: undefined,
  executable: undefined,
  argv: undefined,
  cwd: undefined,
  uid: undefined,
  soleUid: undefined,
  processGroup: undefined,
  user: undefined,
  status: undefined,
  cpuPercent: undefined,
  memoryBytes: undefined,
  hidden: false,
};

/**
 * The directory in /proc of a process; of a zombie, that of a thread that lives on: a program whose
 * first thread has ended is one, and still has its files.
 */
export function taskOf(pid: number): string {
  const process = `/proc/${pid}`;
  if (lives(process)) return process;
  const alive = entries(`${process}/task`).find((tid) => lives(`${process}/task/${tid}`));
  return alive === undefined ? process : `${process}/task/${alive}`;
}

/** Whether the process has a thread that has not ended. */
export function isAlive(pid: number): boolean {
  return lives(`/proc/${pid}`) || taskOf(pid) !== `/proc/${pid}`;
}

/**
 * Whether it ends, or has ended, with all its threads: its memory has gone, and its files go next. From
 * then on its descriptors are root's to look at.
 */
export function isEnding(pid: number): boolean {
  const tasks = entries(`/proc/${pid}/task`);
  const hasMemory = (tid: string) =>
    parseStatus(read(`/proc/${pid}/task/${tid}/status`) ?? '').memoryBytes !== undefined;
  return tasks.length > 0 && !tasks.some(hasMemory);
}

function lives(task: string): boolean {
  const state = parseStat(read(`${task}/stat`) ?? '')?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** The pids of all processes that can be seen. */
export function allPids(): number[] {
  return entries('/proc').filter(isPid).map(Number);
}

const isPid = (entry: string) => /^\d+$/.test(entry);

function tokenOf(startTicks: number | undefined): string | undefined {
  const boot = bootId();
  return startTicks === undefined || boot === undefined ? undefined : `${boot}:${startTicks}`;
}

let bootIdOfKernel: string | undefined;

function bootId(): string | undefined {
  bootIdOfKernel ??= read('/proc/sys/kernel/random/boot_id')?.trim();
  return bootIdOfKernel;
}

// By the time of the boot, which the kernel has in whole seconds: so a process's time is up to a
// second early, the same whoever looks, and it moves only when somebody sets the clock. (The
// clock less /proc/uptime is another time at each look.)
function timeOfTicks(ticks: number): number | undefined {
  const boot = bootTime();
  if (boot === undefined) return undefined;
  const time = boot * 1000 + ticks * (1000 / TICKS_PER_SECOND);
  return Number.isNaN(new Date(time).getTime()) ? undefined : time;
}

// The kernel sums up every interrupt of every processor for this file.
const bootTime = keptForASecond(() => parseBootTime(read('/proc/stat') ?? ''));
const passwd = keptForASecond(() => read('/etc/passwd') ?? '');

// From the system's own list; who is known elsewhere only (LDAP) is shown as a number.
function userName(uid: number): string {
  return parseUserName(passwd(), uid) ?? String(uid);
}

function keptForASecond<T>(look: () => T): () => T {
  let kept: { value: T; at: number } | undefined;
  return () => {
    const now = performance.now();
    if (kept === undefined || now - kept.at > 1000) kept = { value: look(), at: now };
    return kept.value;
  };
}

/** Where a link of /proc leads; `null` where this user may not know. */
export function target(path: string): string | null | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? null : undefined;
  }
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
