// The descriptors of a Linux process, and what the kernel says of them.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { startToken, target, taskOf } from './linux-process.js';

/** A descriptor of a process, and what the kernel says of it. */
export interface Descriptor {
  path: string;
  fdinfo: string;
}

/** A process whose descriptors were looked at, by the base names of what they lead to. */
export interface Descriptors {
  startToken: string | undefined;
  directory: string;
  byName: Map<string, string[]>;
}

/**
 * What the process has open; `undefined` where this user may not look. Reading a link touches no file
 * system, where a stat could hang on a dead network mount.
 */
export function descriptorsOf(pid: number): Descriptors | undefined {
  const token = startToken(pid); // before the look: who has it afterwards is the one looked at
  let directory = `/proc/${pid}`;
  let names = numbersIn(directory);
  // A program whose first thread has ended while others go on: they have the descriptors, and its own,
  // of which there are none, are root's to look at.
  if (!names?.length) {
    directory = taskOf(pid);
    names = numbersIn(directory);
  }
  if (names === undefined) return undefined;
  const byName = new Map<string, string[]>();
  for (const fd of names) {
    const path = target(`${directory}/fd/${fd}`);
    // Root without CAP_SYS_PTRACE, as in most containers, may list them, and not look where they lead.
    if (path === null) return undefined;
    const name = basename(path ?? '');
    const others = byName.get(name);
    if (others === undefined) byName.set(name, [fd]);
    else others.push(fd);
  }
  return { startToken: token, directory, byName };
}

function numbersIn(directory: string): string[] | undefined {
  try {
    return readdirSync(`${directory}/fd`);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? undefined : [];
  }
}

/** The descriptors of what has this base name. */
export function openDescriptors({ directory, byName }: Descriptors, name: string): Descriptor[] {
  return (byName.get(name) ?? []).map((fd) => ({
    path: `${directory}/fd/${fd}`,
    fdinfo: read(`${directory}/fdinfo/${fd}`),
  }));
}

/**
 * Whether it is of a file on that device. A snapshot of a subvolume has the same inodes as that, and
 * /proc/locks one device for both.
 */
export function isOnDevice({ path }: Descriptor, device: bigint): boolean {
  try {
    return statSync(path, { bigint: true }).dev === device;
  } catch {
    return false;
  }
}

/** Whether a lock is tried by one who asks, and not held: see state_linux.cc. */
export function isAttempt(descriptor: Descriptor): boolean {
  const O_APPEND = 0o2000;
  return isReadOnly(descriptor) && (flagsOf(descriptor) & O_APPEND) !== 0;
}

/**
 * The one user, beside root, who can have opened it: the file's owner, unless its mode lets others
 * open it in that way.
 */
export function soleOpener(descriptor: Descriptor): number | undefined {
  try {
    const { uid, mode } = statSync(descriptor.path);
    const others = isReadOnly(descriptor) ? 0o044 : 0o022;
    return (mode & others) === 0 ? uid : undefined;
  } catch {
    return undefined;
  }
}

const isReadOnly = (descriptor: Descriptor) => (flagsOf(descriptor) & 0o3) === 0;

function flagsOf({ fdinfo }: Descriptor): number {
  return Number.parseInt(/^flags:\t(\d+)/m.exec(fdinfo)?.[1] ?? '', 8);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
