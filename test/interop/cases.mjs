// What has to hold between this package and any program that locks the same file, both ways:
//
//   RUNTIME cases.mjs PACKAGE_DIRECTORY SCRATCH_DIRECTORY PARTNER
//
// PARTNER is the partner's command as a JSON array. Prints as conformance.mjs does.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Actor,
  at,
  checkRunning,
  codeOf,
  equal,
  inspect,
  library,
  list,
  lock,
  lockPath,
  lockSync,
  NotRun,
  onWindows,
  runAll,
  soon,
  tryLock,
} from '../platforms/kit.mjs';
import { Partner, partners } from './partner.js';

// This package as the partner is told where it is.
const command = JSON.parse(process.argv[4]).map((word) => (word === 'PACKAGE' ? library : word));
const ROUNDS = 60;

// What a case that failed was still waiting for.
process.on('unhandledRejection', (error) => {
  if (error.code !== 'ENDED') throw error;
});

/** A lock of the case's own, and a partner for it. */
async function scene() {
  const options = at();
  const path = lockPath('bot', options);
  return { options, reader: { ...options, shared: true }, path, them: await another(path) };
}

const another = (path) => Partner.start(command, path);

/** Until as many wait in the kernel's queue; Windows does not tell. */
async function waitersAre(count, options) {
  if (!onWindows) await soon(() => inspect('bot', options).waiters === count);
}

const pids = (options) => inspect('bot', options).holders.map(({ pid }) => pid);

const cases = {
  'they hold: we are refused, and told who it is': async () => {
    const { options, reader, them } = await scene();
    await them.lock('ex');
    equal([tryLock('bot', options), tryLock('bot', reader)], [null, null]);
    const refusal = await lock('bot', options).catch((error) => error);
    equal([refusal.code, refusal.holder?.pid], ['LOCK_HELD', them.told]);
    const { held, shared, holders, unknown } = inspect('bot', options);
    equal([held, shared], [true, false]);
    if (them.told === undefined) equal([holders.length, unknown.length], [0, 1]);
    else equal([holders.length, holders[0]?.pid], [1, them.told]);
    equal(checkRunning('bot', options), true);
    equal(
      list(options).map(({ name }) => name),
      ['bot'],
    );
    await them.unlock();
    equal([checkRunning('bot', options), list(options).length], [false, 0]);
    lockSync('bot', options).release();
  },
  'we hold: they are refused': async () => {
    const { options, them } = await scene();
    const held = lockSync('bot', options);
    equal(await them.tryLock('ex'), false);
    equal(pids(options), [process.pid]);
    held.release();
    equal(await them.tryLock('ex'), true);
  },
  'we hold: their readers are refused': async () => {
    const { options, them } = await scene();
    const held = lockSync('bot', options);
    equal(await them.tryLock('sh'), false);
    held.release();
    equal(await them.tryLock('sh'), true);
  },
  'they read: we can read, and not write': async () => {
    const { options, reader, them } = await scene();
    await them.lock('sh');
    equal(inspect('bot', options).shared, true);
    equal(tryLock('bot', options), null);
    equal(await codeOf(() => lock('bot', options)), 'LOCK_HELD');
    const held = tryLock('bot', reader);
    if (!onWindows) equal(new Set(pids(options)), new Set([process.pid, them.told]));
    held.release();
    equal(inspect('bot', options).held, true);
    await them.unlock();
    lockSync('bot', options).release();
  },
  'we read: they can not write': async () => {
    const { reader, them } = await scene();
    const held = lockSync('bot', reader);
    equal(await them.tryLock('ex'), false);
    held.release();
    equal(await them.tryLock('ex'), true);
  },
  'we read: they can read': async () => {
    const { options, reader, path, them } = await scene();
    const held = lockSync('bot', reader);
    equal(await them.tryLock('sh'), true);
    equal(await (await another(path)).tryLock('ex'), false);
    held.release();
    equal(tryLock('bot', options), null);
    await them.unlock();
    lockSync('bot', options).release();
  },
  'they wait: our release lets them in': async () => {
    const { options, them } = await scene();
    const held = lockSync('bot', options);
    if ((await them.wait('ex')) === 'waits') await waitersAre(1, options);
    equal([them.unheard, pids(options)], [0, [process.pid]]);
    held.release();
    await them.gets();
    equal(tryLock('bot', options), null);
  },
  'their readers wait for our writer, our readers for theirs': async () => {
    const { options, reader, them } = await scene();
    const held = lockSync('bot', options);
    if ((await them.wait('sh')) === 'waits') await waitersAre(1, options);
    held.release();
    await them.gets();
    await them.unlock();
    await them.lock('ex');
    const waiting = lock('bot', { ...reader, wait: 30_000 });
    await waitersAre(1, options);
    await them.unlock();
    (await waiting).release();
  },
  'we wait: their unlock lets us in': async () => {
    const { options, them } = await scene();
    await them.lock('ex');
    const waiting = lock('bot', { ...options, wait: 30_000 });
    await waitersAre(1, options);
    await them.unlock();
    const held = await waiting;
    equal(await them.tryLock('ex'), false);
    held.release();
  },
  'we wait with the thread blocked: their unlock lets us in': async () => {
    const { options, them } = await scene();
    const us = await Actor.start();
    await them.lock('ex');
    const waiting = us.ask('lockSync', 'bot', { ...options, wait: true });
    await waitersAre(1, options);
    await them.unlock();
    equal([await waiting, await them.tryLock('ex')], [1, false]);
  },
  'our wait for them times out, and is cancelled': async () => {
    const { options, them } = await scene();
    await them.lock('ex');
    equal(await codeOf(() => lock('bot', { ...options, wait: 20 })), 'LOCK_TIMEOUT');
    equal(await codeOf(() => lockSync('bot', { ...options, wait: 20 })), 'LOCK_TIMEOUT');
    const signal = AbortSignal.timeout(20);
    const cancelled = await lock('bot', { ...options, wait: true, signal }).catch((error) => error);
    equal(cancelled === signal.reason, true);
    await waitersAre(0, options);
    await them.unlock();
    equal(await (await another(lockPath('bot', options))).tryLock('ex'), true);
  },
  'one line, in the order of asking': async () => {
    const { options, path, them } = await scene();
    if (onWindows) throw new NotRun('Windows does not tell who waits');
    const others = await another(path);
    const held = lockSync('bot', options);
    if ((await them.wait('ex')) === 'polls') throw new NotRun('a poller stands in no line');
    await waitersAre(1, options);
    const us = await Actor.start();
    const ours = us.ask('lock', 'bot', { ...options, wait: true });
    await waitersAre(2, options);
    await others.wait('ex');
    await waitersAre(3, options);
    held.release();
    await them.gets();
    equal(pids(options), [them.told]);
    await them.unlock();
    const id = await ours;
    equal([pids(options), others.unheard], [[us.pid], 0]);
    await us.ask('release', id);
    await others.gets();
  },
  'SIGKILL of them, who hold, lets us in': async () => {
    const { options, path, them } = await scene();
    await them.lock('ex');
    const waiting = lock('bot', { ...options, wait: 30_000 });
    await waitersAre(1, options);
    await them.kill();
    const held = await waiting;
    equal(await (await another(path)).tryLock('ex'), false);
    held.release();
  },
  'SIGKILL of their reader lets our writer in': async () => {
    const { options, them } = await scene();
    await them.lock('sh');
    const waiting = lock('bot', { ...options, wait: 30_000 });
    await waitersAre(1, options);
    await them.kill();
    (await waiting).release();
  },
  'SIGKILL of us, who hold, lets them in': async () => {
    const { options, them } = await scene();
    const us = await Actor.start();
    await us.ask('lockSync', 'bot', options);
    if ((await them.wait('ex')) === 'waits') await waitersAre(1, options);
    await us.kill();
    await them.gets();
    equal(tryLock('bot', options), null);
  },
  'SIGKILL of our reader lets them in': async () => {
    const { options, reader, them } = await scene();
    const us = await Actor.start();
    await us.ask('lockSync', 'bot', reader);
    if ((await them.wait('ex')) === 'waits') await waitersAre(1, options);
    await us.kill();
    await them.gets();
  },
  'SIGKILL of them, who wait, leaves nothing behind': async () => {
    const { options, path, them } = await scene();
    const held = lockSync('bot', options);
    if ((await them.wait('ex')) === 'waits') await waitersAre(1, options);
    await them.kill();
    await waitersAre(0, options);
    held.release();
    equal(checkRunning('bot', options), false);
    equal(await (await another(path)).tryLock('ex'), true);
  },
  'SIGKILL of us, who wait, leaves nothing behind': async () => {
    const { options, them } = await scene();
    const us = await Actor.start();
    await them.lock('ex');
    const waiting = us.ask('lock', 'bot', { ...options, wait: true }).catch(({ code }) => code);
    await waitersAre(1, options);
    await us.kill();
    equal(await waiting, 'ENDED');
    await waitersAre(0, options);
    await them.unlock();
    equal(await them.tryLock('ex'), true);
  },
  'their file is as good as ours, and ours as theirs': async () => {
    const { options, path, them } = await scene();
    equal(existsSync(path), false);
    await them.lock('ex'); // makes it
    await them.unlock();
    const held = lockSync('bot', { ...options, metadata: 'ours' });
    equal(inspect('bot', options).holders[0]?.metadata, 'ours');
    held.release();
    await them.lock('ex'); // whatever it does to the record
    equal(inspect('bot', options).holders[0]?.metadata, undefined, 'metadata of an earlier holder');
    await them.unlock();
    const again = lockSync('bot', { ...options, metadata: 'again' });
    equal(inspect('bot', options).holders[0]?.metadata, 'again');
    again.release();
  },
  'their refused attempt leaves us the holder, by name where the kernel knows it': async () => {
    const { options, path, them } = await scene();
    const us = await Actor.start();
    await us.ask('lockSync', 'bot', { ...options, metadata: 'ours' });
    const size = readFileSync(path).length;
    equal(await them.tryLock('ex'), false);
    if (readFileSync(path).length === size) {
      equal(inspect('bot', options).holders[0]?.metadata, 'ours');
    } else {
      // filelock has emptied it: what only the record knew is not known, and that is said.
      const { holders, unknown } = inspect('bot', options);
      equal([holders[0]?.metadata, unknown.length], [undefined, 1]);
    }
    equal([tryLock('bot', options), pids(options)], [null, [us.pid]]);
  },
  'they delete the file before they unlock it: one of us gets in': async () => {
    const { options, path, them } = await scene();
    await them.lock('ex');
    const us = [await Actor.start(), await Actor.start()];
    const waits = us.map((one) => one.ask('lock', 'bot', { ...options, wait: true }));
    await waitersAre(2, options);
    equal(deletes(path), !onWindows); // which keeps a file that somebody waits for
    await them.unlock();
    const first = await Promise.race(waits.map((wait, index) => wait.then(() => index)));
    equal(pids(options), [us[first].pid]);
    equal([tryLock('bot', options), await them.tryLock('ex')], [null, false]);
    await waitersAre(1, options); // the other, on the new file
    await us[first].ask('release', await waits[first]);
    await waits[1 - first];
    equal(pids(options), [us[1 - first].pid]);
  },
  'they delete the file that we hold: we are told, and exclude each other on the new one':
    async () => {
      const { options, path, them } = await scene();
      const held = lockSync('bot', options);
      const lost = new Promise((told) => held.signal.addEventListener('abort', told));
      if (onWindows) {
        equal([deletes(path), held.held, await them.tryLock('ex')], [false, true, false]);
        return held.release();
      }
      rmSync(path);
      await lost;
      equal([held.held, held.signal.reason.code], [false, 'LOCK_LOST']);
      await them.lock('ex');
      held.release();
      equal(tryLock('bot', options), null);
      await them.unlock();
      const again = lockSync('bot', options);
      equal(await them.tryLock('ex'), false);
      again.release();
    },
  'nobody is lost count of where both do their best': async () => {
    const { options, path, them } = await scene();
    const counter = join(options.directory, 'counter');
    writeFileSync(counter, '0');
    const others = await another(path);
    const ours = async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const held = await lock('bot', { ...options, wait: true });
        const value = Number(readFileSync(counter, 'utf8'));
        await new Promise((next) => setImmediate(next)); // somebody else's turn
        writeFileSync(counter, String(value + 1));
        held.release();
      }
    };
    await Promise.all([them.count(counter, ROUNDS), others.count(counter, ROUNDS), ours(), ours()]);
    equal(Number(readFileSync(counter, 'utf8')), 4 * ROUNDS);
  },
};

function deletes(path) {
  try {
    rmSync(path);
    return true;
  } catch {
    return false;
  }
}

await runAll(
  Object.fromEntries(
    Object.entries(cases).map(([name, run]) => [
      name,
      async () => {
        try {
          await run();
        } finally {
          for (const partner of partners) await partner.kill();
        }
      },
    ]),
  ),
);
