// Worker threads: one process, many environments.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { inspect, lock, lockSync, tryLock } from '../dist/index.js';
// @ts-expect-error: JavaScript without declarations
import { resources } from './support/resources.js';
import { run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 20_000, interval: 10 };
const LIBRARY = new URL('../dist/index.js', import.meta.url).href;

/** A worker that runs `body` with the API, `options`, `name` and `say` at hand. */
function start(name: string, options: object, body: string): Worker {
  const program = `
    const { parentPort, workerData: { name, options } } = require('node:worker_threads');
    const say = (text) => parentPort.postMessage(text);
    import(${JSON.stringify(LIBRARY)}).then(async ({ lock, lockSync, tryLock }) => { ${body} });`;
  const worker = new Worker(program, { eval: true, workerData: { name, options } });
  onTestFinished(async () => void (await worker.terminate()));
  return worker;
}

const said = async (worker: Worker) => (await once(worker, 'message'))[0];
const STAY = 'setInterval(() => {}, 1000);';

describe('two worker threads', () => {
  test('exclude each other and the main thread', async () => {
    const options = { directory: freshDirectory() };
    const first = start('bot', options, `lockSync(name, options); say('held'); ${STAY}`);
    expect(await said(first)).toBe('held');
    const second = start(
      'bot',
      options,
      `say(tryLock(name, options) === null ? 'refused' : 'both!'); ${STAY}`,
    );
    expect(await said(second)).toBe('refused');
    expect(tryLock('bot', options)).toBeNull();
  });

  test('wait in one line with the main thread', async () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', options);
    const order: string[] = [];
    const body = (label: string) =>
      `const mine = lock(name, { ...options, wait: true }); say('waiting'); (await mine); say('${label}'); ${STAY}`;
    const worker = start('bot', options, body('worker'));
    expect(await said(worker)).toBe('waiting');
    const main = lock('bot', { ...options, wait: true }).then(() => order.push('main'));
    const turn = said(worker).then(async (label) => {
      order.push(label);
      await worker.terminate(); // and that releases it
    });
    held.release();
    await Promise.all([turn, main]);
    expect(order).toEqual(['worker', 'main']);
  });
});

describe('the end of a worker', () => {
  test.each([
    ['that is terminated while it holds', STAY],
    ['that ends by itself', "parentPort.once('message', () => {});"],
    ['that exits', "parentPort.once('message', () => process.exit());"],
    ['that throws', "parentPort.once('message', () => { throw new Error('as planned'); });"],
  ])('%s releases its locks', async (_, ending) => {
    const options = { directory: freshDirectory() };
    const worker = start('bot', options, `lockSync(name, options); say('held'); ${ending}`);
    const exit = new Promise((resolve) => worker.once('exit', resolve));
    expect(await said(worker)).toBe('held');
    expect(tryLock('bot', options)).toBeNull();
    worker.on('error', () => {});
    if (ending === STAY) void worker.terminate();
    else worker.postMessage('end');
    await exit;
    const next = tryLock('bot', options);
    expect(next).not.toBeNull();
    next?.release();
  });

  test.each([
    ['asynchronously', 'lock(name, { ...options, wait: true });'],
    ['asynchronously, with a time', 'lock(name, { ...options, wait: 60_000 });'],
    ['synchronously', 'lockSync(name, { ...options, wait: true });'],
    ['synchronously, with a time', 'lockSync(name, { ...options, wait: 60_000 });'],
  ])('that waits %s leaves the line', async (_, wait) => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', options);
    const worker = start('bot', options, wait);
    while (inspect('bot', options).waiters !== 1)
      await new Promise((resolve) => setImmediate(resolve));
    await worker.terminate();
    while (inspect('bot', options).waiters !== 0)
      await new Promise((resolve) => setImmediate(resolve));
    held.release();
    tryLock('bot', options)?.release();
  });

  test('the process exits although a worker waits synchronously without end', async () => {
    const directory = freshDirectory();
    const program = `
      import { lockSync } from ${JSON.stringify(LIBRARY)};
      import { Worker } from 'node:worker_threads';
      const options = { directory: ${JSON.stringify(directory)} };
      lockSync('bot', options);
      const worker = new Worker(\`
        import { parentPort } from 'node:worker_threads'; // --input-type goes for workers too
          import { lockSync } from ${JSON.stringify(LIBRARY)};
          parentPort.postMessage('about to wait');
          lockSync('bot', { directory: ${JSON.stringify(directory)}, wait: true });\`, { eval: true });
      worker.on('message', () => process.exit(5));`;
    expect(await run(process.execPath, ['--input-type=module', '-e', program])).toMatchObject({
      status: 5,
    });
  });

  test('only a worker has loaded the package, and has ended while it waited', async () => {
    const directory = freshDirectory();
    const program = `
      import { Worker } from 'node:worker_threads';
      for (let round = 0; round < 5; round++) {
        const worker = new Worker(\`
          import { parentPort } from 'node:worker_threads';
            import { lock } from ${JSON.stringify(LIBRARY)};
            const options = { directory: ${JSON.stringify(directory)}, wait: true };
            await lock('bot', options);
            lock('bot', options);
            parentPort.postMessage('holds and waits');\`, { eval: true });
        await new Promise((resolve) => worker.on('message', resolve));
        await worker.terminate();
      }`;
    expect(await run(process.execPath, ['--input-type=module', '-e', program])).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  test('while its waits are being served does not take the process along', async () => {
    const options = { directory: freshDirectory() };
    for (let round = 0; round < 20; round++) {
      const held = lockSync('bot', { ...options, wait: true });
      const body = `for (let i = 0; i < 50; i++) lock(name, { ...options, wait: true }).then((mine) => mine.release());
        say('waiting');`;
      const worker = start('bot', options, body);
      expect(await said(worker)).toBe('waiting');
      held.release();
      await worker.terminate();
    }
  });

  test('a hundred workers that come and go leave no descriptor behind', {
    timeout: 60_000,
  }, async () => {
    const options = { directory: freshDirectory() };
    const body = `lockSync(name, { ...options, shared: true }); lock(name, { ...options, wait: true }); say('both'); ${STAY}`;
    const cycle = async () => {
      const worker = start('bot', options, body);
      await said(worker);
      await worker.terminate();
    };
    await cycle();
    const open = () => resources(options.directory);
    // The thread at the worker's wait ends, or is idle, a moment after the worker has ended.
    await expect.poll(open, POLL).toMatchObject({ 'lock file': 0, thread: 1 });
    const before = open();
    for (let round = 0; round < 25; round++)
      await Promise.all([cycle(), cycle(), cycle(), cycle()]);
    await expect.poll(open, POLL).toEqual(before);
    expect(inspect('bot', options)).toMatchObject({ held: false, waiters: 0 });
  });
});
