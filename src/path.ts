import { isAbsolute, join, sep } from 'node:path';
import { LockPathError, LockTypeError } from './errors.js';
import { native } from './native.js';
import type { LocationOptions } from './types.js';

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9_-])?$/;
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)(?:\.|$)/i;
const SUFFIX = '.lock';

/** Throws `LOCK_INVALID_NAME` unless `name` can be the name of a lock on every platform. */
export function checkName(name: unknown): asserts name is string {
  const refuse = (rule: string): never => {
    const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 220)) : typeName(name);
    throw new LockTypeError('LOCK_INVALID_NAME', `Invalid lock name ${shown}: ${rule}`);
  };
  if (typeof name !== 'string') return refuse('a name is a string');
  if (!NAME.test(name)) {
    refuse(
      'a name is 1 to 200 characters of A-Z a-z 0-9 . _ -, starts with a letter or digit and does not end in a dot',
    );
  }
  if (WINDOWS_DEVICE.test(name)) refuse('it names a device on Windows');
}

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
  return NAME.test(name) && !WINDOWS_DEVICE.test(name) ? name : undefined;
}

/** Whether `directory` can be used as the `directory` option. */
export function isDirectoryOption(directory: unknown): directory is string {
  if (typeof directory !== 'string' || directory.includes('\0')) return false;
  return onWindows ? isWindowsDirectory(directory) : isAbsolute(directory);
}

const onWindows = process.platform === 'win32';

/** What `isDirectoryOption` asks for. */
export const DIRECTORY_WANTED = onWindows
  ? 'an absolute path that begins with a drive or a share, and has no part that ends in a dot or a space,'
  : 'an absolute path';

/**
 * Whether it names one directory of Windows, the same to every program. `C:x` and `\x` depend on the
 * current directory and drive. After `\\?\` nothing is normalized, and `\\.\` leads to devices. A
 * dot or a space at the end of a part is dropped by some calls of Windows and kept by others.
 */
export function isWindowsDirectory(directory: string): boolean {
  return (
    /^(?:[a-z]:[\\/]|[\\/]{2}[^\\/?.][^\\/]*[\\/]+[^\\/.])/i.test(directory) &&
    directory.split(/[\\/]+/).every((part) => /^\.{1,2}$/.test(part) || !/[. ]$/.test(part))
  );
}

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
  if (home !== undefined) return home;
  throw new LockPathError(
    'LOCK_PERMISSION',
    "This user has no home in the password database, so scope 'user' has no place; use directory",
  );
}

function typeName(value: unknown): string {
  return value === null ? 'null' : `of type ${typeof value}`;
}
