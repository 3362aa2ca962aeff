// What the Linux kernel says of mounts.

import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { type Mount, mountOf, parseMounts } from './proc.js';

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

/** Names the file without opening it; the same number on every architecture of Node's. */
const O_PATH = 0o10000000;

/** The mount that the file is on. */
export function mountOfFile(path: string): Mount | undefined {
  try {
    const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
    try {
      const id = /^mnt_id:\t(\d+)/m.exec(read(`/proc/self/fdinfo/${fd}`) ?? '')?.[1];
      return parseMounts(read('/proc/self/mountinfo') ?? '').find((mount) => mount.id === id);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** File systems that other computers may have mounted as well. */
const SHARED = /^(?:nfs4?|cifs|smb3?|9p|virtiofs|ceph|afs|lustre|fuse(?:\..+)?)$/;

/** Whether locks on it may be held by processes of other computers, which no kernel here shows. */
export function isShared({ type }: Mount): boolean {
  return SHARED.test(type);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
