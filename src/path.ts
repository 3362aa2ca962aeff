import { join, sep } from 'node:path';
import { LockPathError, LockSystemError } from './errors.js';
import { isName } from './name.js';
import { native } from './native.js';
import type { LocationOptions } from './types.js';

const SUFFIX = '.lock';

/** The directory of the locks that `options` select. */
export function lockDirectory(options: LocationOptions): string {
  if (options.directory !== undefined) return options.directory;
  return options.scope === 'user' ? userDirectory() : machineDirectory();
}

/** The path of the lock's file. */
export function lockFile(name: string, options: LocationOptions): string {
  // As given: `..` behind a symlink means something else to the kernel than to path.join.
  const directory = lockDirectory(options);
  return `${directory}${directory.endsWith(sep) ? '' : sep}${name}${SUFFIX}`;
}

/** The name of the lock whose file has this base name, if it is one's. */
export function nameOfFile(file: string): string | undefined {
  if (!file.endsWith(SUFFIX)) return undefined;
  const name = file.slice(0, -SUFFIX.length);
  return isName(name) ? name : undefined;
}

const onWindows = process.platform === 'win32';

function machineDirectory(): string {
  return onWindows ? knownFolder(false) : '/tmp';
}

const folders = new Map<boolean, string>();

function knownFolder(user: boolean): string {
  let folder = folders.get(user);
  if (folder === undefined) {
    const found = native().knownFolder?.(user);
    if (typeof found !== 'string') {
      throw new LockPathError(
        'LOCK_PERMISSION',
        `Windows names no folder for ${user ? 'this user' : 'the machine'} (${found?.syscall} ${found?.errno}); use directory`,
      );
    }
    folder = `${found}\\kernel-lock`;
    folders.set(user, folder);
  }
  return folder;
}

let homeOfUser: string | undefined;

// The password database's word: HOME is part of the environment, and two bots
// that were started with different environments have to meet.
function userDirectory(): string {
  if (onWindows) return knownFolder(true);
  homeOfUser ??= homeOf();
  return process.platform === 'darwin'
    ? join(homeOfUser, 'Library', 'Application Support', 'kernel-lock')
    : join(homeOfUser, '.local', 'state', 'kernel-lock');
}

// Not userInfo().homedir, which in Bun is HOME.
function homeOf(): string {
  const home = native().homeDirectory?.();
  if (typeof home === 'string') return home;
  if (home !== undefined) {
    const { syscall, errno } = home;
    const cause = new Error(`${syscall} failed with error ${errno}`);
    throw new LockSystemError(
      `The password database can't be asked for this user's home: ${cause.message}`,
      { syscall, errno, cause },
    );
  }
  throw new LockPathError(
    'LOCK_PERMISSION',
    "This user has no home in the password database, so scope 'user' has no place; use directory",
  );
}
