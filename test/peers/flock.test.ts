// The cases of util-linux's tests/ts/flock, by their names there, for `kernel-lock run`. See
// docs/peers.md for those that do not apply.
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkRunning, inspect, lockPath } from '../../dist/index.js';
import { requireProgram } from '../support/requires.js';
import { CLI, cli, start } from '../support/run.js';
import { freshDirectory } from '../support/scratch.js';

const AT = (directory: string) => ['--directory', directory];

/** The script's general lock: a reader, until its input ends. */
async function reader(directory: string) {
  const args = [
    CLI,
    'run',
    'bot',
    '-s',
    ...AT(directory),
    '--',
    'sh',
    '-c',
    'echo Locking; read x',
  ];
  const running = start(process.execPath, args, { stdio: 'pipe' });
  await running.says('Locking');
  return running;
}

describe('flock', () => {
  test.each([
    ['non-block', ['-n', '-E', '123']],
    ['no-fork', ['-n', '-E', '123']], // there is no other way: run becomes the program
    ['exclusive', ['-n', '-x', '-E', '123']],
  ])('%s', async (_name, options) => {
    const directory = freshDirectory();
    await reader(directory);
    const refused = ['run', 'bot', ...options, ...AT(directory), '--', 'echo', 'never to be seen'];
    expect(await cli(...refused)).toMatchObject({ status: 123, stdout: '' });
  });

  test('shared', async () => {
    const directory = freshDirectory();
    await reader(directory);
    const both = ['run', 'bot', '-s', ...AT(directory), '--', 'echo', 'Have shared lock'];
    expect(await cli(...both)).toMatchObject({ status: 0, stdout: 'Have shared lock\n' });
  });

  test('timeout, time-check', async () => {
    const directory = freshDirectory();
    const holder = await reader(directory);
    const args = ['run', 'bot', '-w', '20', '-E', '5', ...AT(directory), '--', 'echo', 'After'];
    const waiting = start(process.execPath, [CLI, ...args]);
    // Not before: it waits, and says nothing, until the holder ends.
    await expect.poll(() => inspect('bot', { directory }).waiters, { timeout: 15_000 }).toBe(1);
    expect(inspect('bot', { directory }).holders.map(({ pid }) => pid)).toEqual([holder.pid]);
    holder.child.stdin?.end();
    expect(await waiting.finished).toMatchObject({ status: 0, stdout: 'After\n' });
    // Not forever: a time that is too short is a conflict.
    await reader(directory);
    const short = ['run', 'bot', '-w', '0.05', '-E', '5', ...AT(directory), '--', 'echo', 'never'];
    expect(await cli(...short)).toMatchObject({ status: 5, stdout: '' });
  });

  test('fcntl-vs-flock', async (context) => {
    requireProgram(context, 'python3');
    const directory = freshDirectory();
    const path = lockPath('bot', { directory });
    const code = `import fcntl, sys
file = open(sys.argv[1], 'w')
fcntl.lockf(file, fcntl.LOCK_EX)
print('locked', flush=True)
sys.stdin.read()`;
    const other = start('python3', ['-c', code, path], { stdio: 'pipe' });
    await other.says('locked');
    // Another kind of lock: neither in the way nor taken for a holder.
    expect(checkRunning('bot', { directory })).toBe(false);
    const run = ['run', 'bot', '-n', ...AT(directory), '--', 'echo', 'flock vs fcntl'];
    expect(await cli(...run)).toMatchObject({ status: 0, stdout: 'flock vs fcntl\n' });
  });
});

test('close', async () => {
  const directory = freshDirectory();
  // The program inherits the lock by design; what closes the descriptor leaves it free.
  const inner = [process.execPath, CLI, 'run', 'bot', '-n', ...AT(directory), '--', 'true'].join(
    ' ',
  );
  const run = (command: string) => cli('run', 'bot', ...AT(directory), '--', 'bash', '-c', command);
  expect(await run(inner)).toMatchObject({ status: 75 });
  const close =
    'for fd in /proc/$$/fd/*; do fd=$(basename $fd); [ $fd -gt 2 ] && eval "exec $fd>&-"; done';
  expect(await run(`${close} 2>/dev/null; ${inner}`)).toMatchObject({ status: 0 });
});

test('unlock', async () => {
  const directory = freshDirectory();
  for (const wait of [['-n'], ['-w', '0']]) {
    const run = await cli('run', 'bot', '-x', ...wait, ...AT(directory), '--', 'true');
    expect(run).toMatchObject({ status: 0 });
    expect(checkRunning('bot', { directory })).toBe(false);
    expect(existsSync(lockPath('bot', { directory }))).toBe(true);
  }
});
