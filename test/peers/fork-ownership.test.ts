// The cases of Python filelock's test_fork_ownership.py, by their names there. Node has no fork that
// goes on with the program: a child is another program, to which no lock is passed on. See
// docs/peers.md for the cases that do not apply.
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { inspect, lock, lockSync, tryLock } from '../../dist/index.js';
import { Actor } from '../support/actor.js';
import { freshDirectory } from '../support/scratch.js';

const here = () => ({ directory: freshDirectory() });
const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;

/** What the descriptors of a child lead to. */
const descriptorsOfChild = () =>
  spawnSync('sh', ['-c', 'ls -l /proc/self/fd'], { encoding: 'utf8' }).stdout;

/** Runs code in a child that has the package. */
const inChild = (code: string, directory: string) =>
  spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { tryLock, inspect } from '${LIBRARY}'; const options = { directory: process.argv[1] }; ${code}`,
      directory,
    ],
    { encoding: 'utf8' },
  );

test('test_child_cleanup_preserves_parent_lock', async () => {
  const options = here();
  const held = lockSync('parent', options);
  for (const end of ['', "process.kill(process.pid, 'SIGKILL')"]) {
    inChild(`tryLock('parent', options)?.release(); ${end}`, options.directory);
    expect(inspect('parent', options).holders).toMatchObject([{ pid: process.pid }]);
  }
  const contender = await Actor.start();
  expect(await contender.tryLock('parent', options)).toBeNull();
  held.release();
  expect(await contender.tryLock('parent', options)).not.toBeNull();
});

function worker(options: object, body: string): Worker {
  const code = `const { parentPort, workerData: options } = require('node:worker_threads');
    import('${LIBRARY}').then(({ lockSync }) => { ${body} });`;
  const thread = new Worker(code, { eval: true, workerData: options });
  onTestFinished(async () => void (await thread.terminate()));
  return thread;
}

test('test_child_closes_descriptor_held_by_vanished_thread', async () => {
  const options = here();
  const thread = worker(
    options,
    `lockSync('parent', options); parentPort.postMessage('held'); setInterval(() => {}, 1000);`,
  );
  await once(thread, 'message');
  expect(descriptorsOfChild()).not.toContain('parent.lock');
  expect(tryLock('parent', options)).toBeNull();
});

// Between the opening of the descriptor and its registration there is no moment in which a child
// could get it: it is opened so.
test('test_fork_waits_for_descriptor_registration', async () => {
  const options = here();
  const thread = worker(
    options,
    `parentPort.postMessage('on'); for (;;) lockSync('parent', options).release();`,
  );
  await once(thread, 'message');
  for (let round = 0; round < 30; round++) {
    expect(descriptorsOfChild()).not.toContain('parent.lock');
  }
});

test('test_unrelated_acquisitions_reach_filesystem_boundary_concurrently', async () => {
  const options = here();
  const others = await Actor.start();
  const ids = [await others.lock('one', options), await others.lock('two', options)];
  const waits = [lock('one', { ...options, wait: true }), lock('two', { ...options, wait: true })];
  // Both stand in the kernel's queues at once.
  await expect
    .poll(() => [inspect('one', options).waiters, inspect('two', options).waiters])
    .toEqual([1, 1]);
  await others.release(ids[1] as number);
  (await waits[1])?.release(); // and neither is behind the other
  await others.release(ids[0] as number);
  (await waits[0])?.release();
});

test('test_fork_from_on_acquired_invalidates_child_acquire', () => {
  const options = here();
  let child: string | undefined;
  const fork = () => {
    child = inChild(`console.log(tryLock('parent', options))`, options.directory).stdout;
  };
  subscribe('kernel-lock:acquired', fork);
  onTestFinished(() => void unsubscribe('kernel-lock:acquired', fork));
  const held = lockSync('parent', options);
  expect(child).toBe('null\n');
  expect(inspect('parent', options).holders).toMatchObject([{ pid: process.pid }]);
  held.release();
});

test('test_child_interpreter_exit_preserves_parent_lock', async () => {
  const options = here();
  const parent = await Actor.start();
  await parent.lock('parent', options);
  const survivor = await parent.ask<number>('spawnSurvivor');
  process.kill(survivor, 'SIGKILL'); // a child of the holder ends
  expect(tryLock('parent', options)).toBeNull();
  expect(inspect('parent', options).holders).toMatchObject([{ pid: parent.pid }]);
});
