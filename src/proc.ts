// The texts of /proc, taken apart. Any process can shape part of them (its name, its command
// line), so everything here expects nonsense and answers `undefined`.

/** A lock or a request in /proc/locks, see proc_locks(5). */
export interface LockLine {
  /** `MAJOR:MINOR:INODE`, the numbers in hexadecimal, hexadecimal and decimal. */
  file: string;
  shared: boolean;
  /** Who called flock; 0 or dead where a child holds on. */
  pid: number;
  waiting: boolean;
}

const LOCK_LINE =
  /^\d+: *(->)? *FLOCK +\S+ +(READ|WRITE) +(-?\d{1,10}) +([0-9a-f]{1,8}:[0-9a-f]{1,8}:\d{1,20}) /;

/** The flock(2) lines of /proc/locks, or of the `lock:` lines of a /proc/PID/fdinfo file. */
export function parseLocks(text: string): LockLine[] {
  const lines: LockLine[] = [];
  for (const line of text.split('\n')) {
    const match = LOCK_LINE.exec(line.startsWith('lock:') ? line.slice(5).trimStart() : line);
    if (match === null) continue;
    lines.push({
      waiting: match[1] !== undefined,
      shared: match[2] === 'READ',
      pid: Number(match[3]),
      file: match[4] as string,
    });
  }
  return lines;
}

/** `MAJOR:MINOR` of a `dev_t`, the way /proc/locks writes it. */
export function deviceNumber(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}`;
}

/** The fields of /proc/PID/stat that matter here; times in clock ticks. */
export interface ProcessStat {
  state: string;
  processGroup: number | undefined;
  cpuTicks: number;
  startTicks: number;
}

/** Reads from the last `)`: a process may be called `a) R 1 (b`. */
export function parseStat(text: string): ProcessStat | undefined {
  const end = text.lastIndexOf(')');
  if (end < 0) return undefined;
  const fields = text.slice(end + 2).split(' ');
  const [state, group, utime, stime, start] = [0, 2, 11, 12, 19].map((field) => fields[field]);
  if (state === undefined || !isDigits(utime) || !isDigits(stime) || !isDigits(start)) {
    return undefined;
  }
  return {
    state,
    processGroup: isDigits(group) ? Number(group) || undefined : undefined, // 0: of another namespace
    cpuTicks: Number(utime) + Number(stime),
    startTicks: Number(start),
  };
}

/** When the system was booted, from /proc/stat, in seconds since 1970. */
export function parseBootTime(text: string): number | undefined {
  const seconds = /^btime (\d{1,15})$/m.exec(text)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}

/** The fields of /proc/PID/status that matter here. */
export interface ProcessStatus {
  state: string | undefined;
  /** The effective one: files that the process makes belong to it. */
  uid: number | undefined;
  /** The real, effective and saved one, where these are one. */
  soleUid: number | undefined;
  /** The pids in the namespaces below the reader's, outermost first. */
  innerPids: number[];
  memoryBytes: number | undefined;
}

export function parseStatus(text: string): ProcessStatus {
  const [, real, uid, saved] = /^Uid:\t(\d{1,10})\t(\d{1,10})\t(\d{1,10})\t/m.exec(text) ?? [];
  const pids = /^NSpid:((?:\t\d{1,10})+)$/m.exec(text)?.[1]?.split('\t') ?? [];
  const rss = /^VmRSS:[\t ]*(\d{1,15}) kB/m.exec(text)?.[1];
  return {
    state: /^State:\t(\w)/m.exec(text)?.[1],
    uid: uid === undefined ? undefined : Number(uid),
    soleUid: uid === undefined || real !== uid || saved !== uid ? undefined : Number(uid),
    innerPids: pids.slice(2).map(Number),
    memoryBytes: rss === undefined ? undefined : Number(rss) * 1024,
  };
}

/** The arguments in /proc/PID/cmdline; a program that retitled itself is one argument. */
export function parseCommandLine(text: string): string[] | undefined {
  if (text === '') return undefined;
  return (text.endsWith('\0') ? text.slice(0, -1) : text).split('\0');
}

/** The name of a user in passwd(5). */
export function parseUserName(passwd: string, uid: number): string | undefined {
  for (const line of passwd.split('\n')) {
    const fields = line.split(':');
    if (fields[2] === String(uid)) return fields[0];
  }
  return undefined;
}

const STATES: Record<string, string> = {
  R: 'running',
  S: 'sleeping',
  D: 'disk sleep',
  T: 'stopped',
  t: 'traced',
  Z: 'zombie',
  X: 'dead',
  I: 'idle',
};

/** A process state in words. */
export function stateName(state: string): string | undefined {
  return STATES[state];
}

/** One mount of /proc/PID/mountinfo, see proc_pid_mountinfo(5). */
export interface Mount {
  id: string;
  /** `MAJOR:MINOR`, decimal. */
  device: string;
  /** The directory of the file system that is mounted; not `/` for a bind mount. */
  root: string;
  point: string;
  type: string;
}

export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    const [id, , device, root, point] = fields;
    const type = fields[separator + 1];
    if (separator < 0 || !id || !device || !root || !point || !type) continue;
    mounts.push({ id, device, root: unescapeOctal(root), point: unescapeOctal(point), type });
  }
  return mounts;
}

/** The mount that `directory` (absolute, without links) is on. */
export function mountOf(mounts: readonly Mount[], directory: string): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    const inside =
      mount.point === '/' || directory === mount.point || directory.startsWith(`${mount.point}/`);
    // The later of two mounts on one point covers the earlier.
    if (inside && (best === undefined || mount.point.length >= best.point.length)) best = mount;
  }
  return best;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function isDigits(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,15}$/.test(text); // what a number holds exactly
}
