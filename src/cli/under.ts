// How a program is started that must not outlive `run --postgres`.

import { constants } from 'node:os';
import { native } from '../native.js';
import { systemError } from '../request.js';
import { notRun } from './ends.js';
import { printError } from './output.js';

/** What `run --postgres` calls itself with: this, its pid, and the program. */
export const UNDER = '--under';

/** Becomes the program, tied to the parent. Returns only where that did not come about. */
export function becomeUnder(parent: number, program: readonly string[]): number {
  if (native().endWithParent?.(parent) !== true) {
    printError('kernel-lock: not started: the program would outlive the one that holds its lock');
    return 128 + constants.signals.SIGKILL;
  }
  const bytes = program.map((text) => Buffer.from(text).toString('latin1'));
  const { code } = systemError(native().replaceProcess(bytes));
  return notRun(program[0] as string, code === 'ENOENT', code);
}
