// A /tmp that others do not see: two holders, each alone in its own world. It has to be said.
import { describe, expect, test } from 'vitest';
import { lockSync } from '../dist/index.js';
import { requireProgram, requireRoot } from './support/requires.js';
import { cli, REPOSITORY, run } from './support/run.js';
import { freshName } from './support/scratch.js';

// The checkout may lie in /tmp itself, so the namespace has it in another place too.
const CHECKOUT = '/mnt';
const PREPARE = `mount --bind '${REPOSITORY}' ${CHECKOUT} && mount -t tmpfs tmpfs /tmp && exec "$@"`;

/** Runs node with a /tmp of its own. */
const inside = (...args: string[]) =>
  run('unshare', ['--mount', 'sh', '-c', PREPARE, 'sh', process.execPath, ...args]);
const hiddenCli = `${CHECKOUT}/dist/cli.js`;

describe('in a mount namespace with a /tmp of its own', () => {
  test('the command line warns, on stderr', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const name = freshName();
    using _held = lockSync(name);
    const hidden = await inside(hiddenCli, 'check', name);
    expect(hidden).toMatchObject({ status: 1, stdout: `Application '${name}': NOT RUNNING\n` });
    expect(hidden.stderr).toMatch(
      /\/tmp may be private to this process: .*mount namespace.*directory/,
    );
    expect((await cli('check', name)).stderr).toBe('');
  });

  test('so does run, and the program runs all the same', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const end = await inside(hiddenCli, 'run', freshName(), '--', 'echo', 'works');
    expect(end).toMatchObject({ status: 0, stdout: 'works\n' });
    expect(end.stderr).toContain('may be private');
  });

  test('so does SingleInstance, through its logger', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const args = (checkout: string) => [
      '--input-type=module',
      '-e',
      `import { SingleInstance } from '${checkout}/dist/index.js';
      const logger = { info() {}, warn: (text) => console.log('warned: ' + text), error() {} };
      new SingleInstance('${freshName()}', { logger });`,
    ];
    expect((await inside(...args(CHECKOUT))).stdout).toMatch(/^warned: .*\/tmp may be private/);
    expect((await run(process.execPath, args(REPOSITORY))).stdout).toBe('');
  });

  test('a directory that both see is not called private', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const end = await inside(hiddenCli, 'check', freshName(), '--directory', '/var/tmp');
    expect(end).toMatchObject({ status: 1, stderr: '' });
  });
});
