// --postgres: which server.

import type { ServerOptions } from '../postgres.js';
import type { Call } from './args.js';

/** The server of `--postgres`; without a URL, that of the environment. */
export function serverOf({ postgres }: Call): ServerOptions | undefined {
  if (postgres === undefined) return undefined;
  return postgres === '' ? {} : { connectionString: postgres };
}

/**
 * Takes passwords out of what `ps` shows of this process. Until then, a moment after its start, they
 * are there to be seen; PGPASSWORD and .pgpass show nothing.
 */
export function hidePasswords(argv: readonly string[]): void {
  const end = argv.indexOf('--');
  const own = end < 0 ? argv : argv.slice(0, end);
  if (!own.some((arg) => arg.startsWith('--postgres'))) return;
  const hidden = argv.map(withoutPassword);
  if (hidden.some((arg, i) => arg !== argv[i])) {
    process.title = ['kernel-lock', ...hidden].join(' ');
  }
}

/** The same in any arguments that get into records. */
export function withoutPassword(arg: string): string {
  return arg
    .replace(/(postgres(?:ql)?:\/\/[^:@/?]*):.*@/i, '$1@')
    .replace(/([?&]password=)[^&]*/gi, '$1');
}
