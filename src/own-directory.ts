// The directory of scope `user`, which nobody else may enter or have put there.

import { lstatSync } from 'node:fs';

let known: string | undefined;

/**
 * Why `directory` is not this user's alone, a sentence; `undefined` where it is, and where it is not
 * there yet. Looked at until it is: then nobody else can change that. Windows gives each user a
 * folder with rights of its own, and is not asked.
 */
export function whyNotOwn(directory: string): string | undefined {
  if (directory === known) return undefined;
  const user = process.geteuid?.();
  const status = lstatSync(directory, { throwIfNoEntry: false });
  if (user === undefined || status === undefined) return undefined;
  const { uid, mode } = status;
  if (!status.isDirectory()) return `${directory} is not a directory; it was left alone`;
  if (uid !== user) return `${directory} belongs to another user (uid ${uid}); it was left alone`;
  const permissions = mode & 0o777;
  if ((permissions & 0o077) === 0) {
    known = directory;
    return undefined;
  }
  return `${directory} is open to others (mode ${permissions.toString(8)}); close it: chmod 700 '${directory}'`;
}
