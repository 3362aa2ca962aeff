// Names and directories that belong to one run of the tests, so that runs can go side by side.
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = 'KERNEL_LOCK_TEST_ROOT';
const RUN = 'KERNEL_LOCK_TEST_RUN';

/** Vitest calls this once per run, before and after everything. */
export default function setup(): () => void {
  const run = randomBytes(6).toString('hex');
  process.env[RUN] = run;
  process.umask(0o022); // of everything that the tests start, too: their second user may look
  process.env[ROOT] = mkdtempSync(join(tmpdir(), `kernel-lock-test-${run}-`));
  chmodSync(process.env[ROOT], 0o755);
  return () => {
    rmSync(process.env[ROOT] as string, { recursive: true, force: true });
    for (const file of readdirSync('/tmp')) {
      if (file.startsWith(`kltest-${run}-`)) rmSync(join('/tmp', file), { force: true });
    }
  };
}

let count = 0;

/** The name of a lock that nobody else uses. */
export function freshName(label = 'lock'): string {
  return `kltest-${process.env[RUN]}-${process.pid}-${count++}-${label}`;
}

/** A new directory of this test's own. */
export function freshDirectory(label = 'dir'): string {
  const directory = join(process.env[ROOT] as string, `${process.pid}-${count++}-${label}`);
  mkdirSync(directory, { recursive: true });
  return directory;
}
