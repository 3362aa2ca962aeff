// What can be the name of a lock, on every platform and on a server.

import { LockTypeError } from './errors.js';

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9_-])?$/;
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)(?:\.|$)/i;

/** Throws `LOCK_INVALID_NAME` unless `name` can be the name of a lock on every platform. */
export function checkName(name: unknown): asserts name is string {
  const refuse = (rule: string): never => {
    throw new LockTypeError('LOCK_INVALID_NAME', `Invalid lock name ${show(name)}: ${rule}`);
  };
  if (typeof name !== 'string') return refuse('a name is a string');
  if (!NAME.test(name)) {
    refuse(
      'a name is 1 to 200 characters of A-Z a-z 0-9 . _ -, starts with a letter or digit and does not end in a dot',
    );
  }
  if (WINDOWS_DEVICE.test(name)) refuse('it names a device on Windows');
}

/** Whether `checkName` lets it pass. */
export function isName(name: string): boolean {
  return NAME.test(name) && !WINDOWS_DEVICE.test(name);
}

/** Whether there is a URL in it, which may have a password. */
export function hasUrl(text: string): boolean {
  return text.includes('://');
}

function show(name: unknown): string {
  if (typeof name !== 'string') return name === null ? 'null' : `of type ${typeof name}`;
  return hasUrl(name) ? '(a URL)' : JSON.stringify(name.slice(0, 220));
}
