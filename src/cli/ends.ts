// How `run` ends without its program.

import type { LockHeldError } from '../errors.js';
import { commandLine, conflictReport, printableJson } from '../report.js';
import type { LocationOptions } from '../types.js';
import type { Call } from './args.js';
import { EXIT_CONFLICT } from './exit.js';
import { printError } from './output.js';

/** As shells have it: the program can't be executed, or is not there. */
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;

export function notRun(executable: string, notFound: boolean, code: string | undefined): number {
  const reason = notFound ? 'not found' : `can't be executed (${code})`;
  printError(`kernel-lock: ${commandLine([executable])}: ${reason}`);
  return notFound ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

export function refused(
  { name, json, conflictExitCode }: Call,
  error: LockHeldError,
  where: LocationOptions & { postgres?: string | undefined },
): number {
  const { holder, unknown } = error;
  if (json) printError(printableJson({ name, held: true, holder, unknown }));
  else printError(conflictReport(name, error, where));
  return conflictExitCode ?? EXIT_CONFLICT;
}
