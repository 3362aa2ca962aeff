// File systems that can't lock. None that this machine can mount is one, so the kernel's answer is
// put in by strace, in a real process.
import { expect, test } from 'vitest';
import { requireProgram } from './support/requires.js';
import { CLI, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const ANSWERS = ['EBADF', 'ENOLCK', 'ENOSYS', 'EOPNOTSUPP', 'EINVAL'];

test.for(ANSWERS)(
  'flock fails with %s: no weaker lock, and the file system is named',
  async (errno, context) => {
    requireProgram(context, 'strace');
    const directory = freshDirectory();
    const { status, stdout, stderr } = await run('strace', [
      ...['-f', '-qq', '-o', '/dev/null', '-e', `inject=flock:error=${errno}`],
      ...[process.execPath, CLI, 'run', 'bot', '--directory', directory, '--', 'echo', 'ran'],
    ]);
    expect({ status, stdout }).toEqual({ status: 69, stdout: '' });
    expect(stderr).toMatch(
      /^kernel-lock: The file system of .*bot\.lock \((ext4|[\w.-]+)\) can't lock: .*\n$/,
    );
    // One number, two names.
    expect(stderr).toContain(`failed with ${errno.replace('EOPNOTSUPP', 'ENOTSUP')}`);
  },
);
