// A /tmp that others do not see: two holders, each alone in its own world. It has to be said.
import { describe, expect, test } from 'vitest';
import { lockSync } from '../dist/index.js';
import { requireProgram, requireRoot } from './support/requires.js';
import { CLI, cli, run } from './support/run.js';
import { freshName } from './support/scratch.js';

const LIBRARY = new URL('../dist/index.js', import.meta.url).href;

/** Runs a command with a /tmp of its own. */
const inside = (command: string, ...args: string[]) =>
  run('unshare', [
    '--mount',
    'sh',
    '-c',
    'mount -t tmpfs tmpfs /tmp && exec "$@"',
    'sh',
    command,
    ...args,
  ]);

describe('in a mount namespace with a /tmp of its own', () => {
  test('the command line warns, on stderr', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const name = freshName();
    using _held = lockSync(name);
    const hidden = await inside(process.execPath, CLI, 'check', name);
    expect(hidden).toMatchObject({ status: 1, stdout: `Application '${name}': NOT RUNNING\n` });
    expect(hidden.stderr).toMatch(
      /\/tmp may be private to this process: .*mount namespace.*directory/,
    );
    expect((await cli('check', name)).stderr).toBe('');
  });

  test('so does run, and the program runs all the same', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const end = await inside(process.execPath, CLI, 'run', freshName(), '--', 'echo', 'works');
    expect(end).toMatchObject({ status: 0, stdout: 'works\n' });
    expect(end.stderr).toContain('may be private');
  });

  test('so does SingleInstance, through its logger', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const program = `
      import { SingleInstance } from '${LIBRARY}';
      const logger = { info() {}, warn: (text) => console.log('warned: ' + text), error() {} };
      new SingleInstance('${freshName()}', { logger });`;
    const args = ['--input-type=module', '-e', program];
    expect((await inside(process.execPath, ...args)).stdout).toMatch(
      /^warned: .*\/tmp may be private/,
    );
    expect((await run(process.execPath, args)).stdout).toBe('');
  });

  test('a directory that both see is not called private', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const end = await inside(
      process.execPath,
      CLI,
      'check',
      freshName(),
      '--directory',
      '/var/tmp',
    );
    expect(end).toMatchObject({ status: 1, stderr: '' });
  });
});
