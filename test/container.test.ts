// What goes otherwise inside a PID namespace, as containers have one: the kernel's lock table leaves
// out there the locks of who has ended, and fdinfo has 0 for their pid. The cases of outside have
// to hold there.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requireProgram, requireRoot, requireSecondUser } from './support/requires.js';
import { REPOSITORY, run } from './support/run.js';

test.for([
  ['kill', 'a holder with children', 3],
  ['kill', 'who acquires while a kill waits', 3],
  ['sent', 'a process that was sent', 7],
] as const)('%s.test.ts: %s', async ([file, title, count], context) => {
  (file === 'sent' ? requireSecondUser : requireRoot)(context);
  requireProgram(context, 'unshare');
  const vitest = [join(REPOSITORY, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=json'];
  const words = [process.execPath, ...vitest, `test/${file}.test.ts`, '-t', title];
  // Node.js does not reap who it did not start; a shell, as the first process, does.
  const shell = ['sh', '-c', '"$@"; exit $?', 'sh', ...words];
  const unshare = ['--pid', '--fork', '--kill-child', '--mount-proc', ...shell];
  const { status, stdout, stderr } = await run('unshare', unshare, { cwd: REPOSITORY });
  const { numPassedTests, numFailedTests } = JSON.parse(stdout.slice(stdout.indexOf('{')));
  expect({ status, stderr, numFailedTests }).toEqual({ status: 0, stderr: '', numFailedTests: 0 });
  expect(numPassedTests).toBe(count);
});
