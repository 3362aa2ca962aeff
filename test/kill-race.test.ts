// The holder dies, and its pid is given to somebody else, while a killer stands between two system
// calls. A PID namespace of the test's own lets it say which pid comes next.
import { describe, expect, type TestContext, test } from 'vitest';
import { requireProgram, requireRoot } from './support/requires.js';
import { REPOSITORY, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const NAMESPACE = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const REUSE = `${REPOSITORY}test/support/reuse.mjs`;

/** As on a kernel before 5.3. */
const WITHOUT_PIDFD = [
  ...['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pidfd_open'],
  ...['-e', 'inject=pidfd_open:error=ENOSYS'],
];

async function reuse(context: TestContext, call: string, successor: string, prefix: string[] = []) {
  requireRoot(context);
  requireProgram(context, 'unshare');
  const words = [...NAMESPACE, process.execPath, REUSE, freshDirectory(), call, successor];
  const { stdout, stderr } = await run('unshare', [...words, ...prefix]);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

describe.each([
  ['between the look and the handle', 'pinProcess'],
  ['between the last look and the signal', 'signalProcess'],
])('the pid is reused %s', (_, call) => {
  test('by a stranger, which is not hit', async (context) => {
    const end = await reuse(context, call, 'stranger');
    expect(end).toEqual({ samePid: true, lives: true, told: true });
  });

  test('by a new instance that holds the lock: it is not hit, and not taken for the first', async (context) => {
    const end = await reuse(context, call, 'instance');
    expect(end).toEqual({ samePid: true, lives: true, told: true });
  });
});

describe('on a kernel without pidfd, the pid is reused between the look and the last look', () => {
  test.for(['stranger', 'instance'])('by "%s": it is not hit', async (successor, context) => {
    requireProgram(context, 'strace');
    const end = await reuse(context, 'pinProcess', successor, WITHOUT_PIDFD);
    expect(end).toEqual({ samePid: true, lives: true, told: true });
  });
});
