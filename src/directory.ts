// What can be the `directory` option.

import { isAbsolute } from 'node:path';

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
