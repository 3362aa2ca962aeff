// What a case needs of the machine. A case that can't be run says so, with the reason.
import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import type { TestContext } from 'vitest';
import { CLI } from './run.js';

export function requireProgram(context: TestContext, program: string): void {
  const found = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  skipUnless(context, found, `${program} is not installed`);
}

/** Root that may act as a second user, make namespaces, and look into everybody's processes. */
export function requireRoot(context: TestContext): void {
  skipUnless(
    context,
    process.getuid?.() === 0,
    'only root can act as a second user, or make namespaces',
  );
  const set = /^CapEff:\t(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const [CAP_SYS_PTRACE, CAP_SYS_ADMIN] = [19n, 21n];
  const has = (one: bigint) => ((BigInt(`0x${set}`) >> one) & 1n) === 1n;
  const reason = 'root has no CAP_SYS_ADMIN or no CAP_SYS_PTRACE, as in most containers';
  skipUnless(context, has(CAP_SYS_ADMIN) && has(CAP_SYS_PTRACE), reason);
}

/** That a user who is not root can run this package: not so in a home that others may not enter. */
export function requireSecondUser(context: TestContext): void {
  requireRoot(context);
  requireProgram(context, 'setpriv');
  const mayRun = ['sh', '-c', 'test -x "$0" && test -r "$1"', process.execPath, CLI];
  const [command = '', ...args] = [...AS_NOBODY, ...mayRun];
  const reason = 'the second user may not enter the directory of this package, or that of Node.js';
  skipUnless(context, spawnSync(command, args).status === 0, reason);
}

export function requireMounted(context: TestContext, mounted: boolean, type: string): void {
  skipUnless(context, mounted, `this machine mounts no ${type}`);
}

function skipUnless(context: TestContext, condition: boolean, reason: string): void {
  if (condition) return;
  console.warn(`not run: ${context.task.name}: ${reason}`);
  context.skip(reason);
}

/** The user that has nothing, as the second user of the tests. */
export const NOBODY = 65534;

/** A command prefix that runs what follows as `NOBODY`. */
export const AS_NOBODY = [
  'setpriv',
  '--reuid',
  String(NOBODY),
  '--regid',
  String(NOBODY),
  '--clear-groups',
];

/** The same for the one that attacks, where `NOBODY` and root are attacked. */
export const AS_HOSTILE = AS_NOBODY.map((word) =>
  word === String(NOBODY) ? String(NOBODY - 1) : word,
);

/** A Python that has the module, for whom `prefix` runs it as. */
export function requirePython(
  context: TestContext,
  module: string,
  prefix: readonly string[] = [],
): string {
  // The distribution's modules are the distribution's Python's.
  const python = ['python3', '/usr/bin/python3'].find((candidate) => {
    const [command = '', ...args] = [...prefix, candidate, '-c', `import ${module}`];
    return spawnSync(command, args).status === 0;
  });
  skipUnless(context, python !== undefined, `no python3 has the module ${module}`);
  return python as string;
}

/** The kernel leaves out of its table, in a PID namespace, locks of those outside and of the dead. */
export function requireWholeTable(context: TestContext): void {
  const initial = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';
  skipUnless(
    context,
    initial,
    'in a PID namespace (container), /proc/locks does not show every lock',
  );
}
