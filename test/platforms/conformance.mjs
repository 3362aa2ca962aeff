// The core of what is promised, driven from outside through a built package, on any runtime:
//
//   RUNTIME conformance.mjs PACKAGE_DIRECTORY SCRATCH_DIRECTORY [OPENER]
//
// It needs nothing but the runtime, says how many cases there are, prints a line per case and closes
// with the counts. A case that can't be run here says why. OPENER is opener_win.c, built.
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  Actor,
  at,
  checkRunning,
  codeOf,
  command,
  emulated,
  equal,
  inspect,
  killRunning,
  LockError,
  library,
  list,
  lock,
  lockPath,
  lockSync,
  NotRun,
  onWindows,
  runAll,
  runtime,
  soon,
  startTimeOf,
  tryLock,
  withLock,
} from './kit.mjs';
import { posixCases } from './posix.mjs';
import { windowsCases } from './windows.mjs';

const cases = {
  'acquire, refuse, release': async () => {
    const options = at();
    const held = lockSync('bot', options);
    equal([held.held, tryLock('bot', options), checkRunning('bot', options)], [true, null, true]);
    equal(await codeOf(() => lock('bot', options)), 'LOCK_HELD');
    held.release();
    held.release();
    equal([held.held, checkRunning('bot', options)], [false, false]);
    (await lock('bot', options)).release();
  },
  'readers go together, a writer does not': async () => {
    const options = at();
    const shared = { ...options, shared: true };
    const readers = [lockSync('data', shared), lockSync('data', shared)];
    equal(tryLock('data', options), null);
    for (const reader of readers) reader.release();
    const writer = lockSync('data', options);
    equal(tryLock('data', shared), null);
    writer.release();
  },
  'two processes exclude each other, and the holder is named': async () => {
    const options = at();
    const other = await Actor.start();
    await other.ask('lockSync', 'bot', { ...options, metadata: { mode: 'x' } });
    equal(tryLock('bot', options), null);
    const { held, holders } = inspect('bot', options);
    equal([held, holders[0]?.pid], [true, other.pid]);
    equal(
      list(options).map(({ name }) => name),
      ['bot'],
    );
    const error = await lock('bot', options).catch((reason) => reason);
    equal([error instanceof LockError, error.holder?.pid], [true, other.pid]);
    if ((await other.ask('startTime')) !== startTimeOf(other.pid)) {
      throw new NotRun('QEMU shows a process another start time than others see: no record fits');
    }
    equal(holders[0]?.metadata, { mode: 'x' });
  },
  'a killed holder frees its lock': async () => {
    const options = at();
    const other = await Actor.start();
    await other.ask('lockSync', 'bot', options);
    await other.kill();
    let held = null;
    await soon(() => {
      held = tryLock('bot', options);
      return held !== null;
    });
    held.release();
  },
  'a wait is granted when the holder lets go, and when it dies': async () => {
    const options = at();
    for (const end of ['release', 'kill']) {
      const other = await Actor.start();
      const id = await other.ask('lockSync', 'bot', options);
      const waiting = lock('bot', { ...options, wait: 30_000 });
      if (end === 'release') await other.ask('release', id);
      else await other.kill();
      (await waiting).release();
    }
  },
  'waits of one process are served in order': async () => {
    const options = { ...at(), wait: true };
    const held = lockSync('bot', options);
    const order = [];
    const waits = [0, 1, 2, 3].map(async (place) => {
      const mine = await lock('bot', options);
      order.push(place);
      mine.release();
    });
    held.release();
    await Promise.all(waits);
    equal(order, [0, 1, 2, 3]);
  },
  'a wait times out, and is cancelled': async () => {
    const options = at();
    const held = lockSync('bot', options);
    equal(await codeOf(() => lock('bot', { ...options, wait: 20 })), 'LOCK_TIMEOUT');
    equal(await codeOf(() => lockSync('bot', { ...options, wait: 20 })), 'LOCK_TIMEOUT');
    const controller = new AbortController();
    const waiting = lock('bot', { ...options, wait: true, signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    equal(await waiting.catch((error) => error === reason), true);
    held.release();
    (await lock('bot', { ...options, wait: 5000 })).release();
  },
  'lockSync waits for another process': async () => {
    const options = at();
    const other = await Actor.start();
    const mine = lockSync('bot', options);
    const waiting = other.ask('lockSync', 'bot', { ...options, wait: true });
    mine.release();
    await other.ask('release', await waiting);
  },
  'a deadlock with oneself is told': async () => {
    const options = at();
    const held = lockSync('bot', options);
    equal(await codeOf(() => lockSync('bot', { ...options, wait: true })), 'LOCK_DEADLOCK');
    held.release();
  },
  'withLock releases': async () => {
    const options = at();
    equal(await withLock('bot', options, (mine) => mine.held), true);
    equal(
      await codeOf(() => withLock('bot', options, () => Promise.reject(new Error('no')))),
      'Error: no',
    );
    equal(checkRunning('bot', options), false);
  },
  'a worker that is terminated releases': async () => {
    const { Worker } = await import('node:worker_threads');
    const options = at();
    const file = join(options.directory, 'worker.mjs');
    writeFileSync(
      file,
      `import { parentPort } from 'node:worker_threads';
       const { lockSync } = await import(${JSON.stringify(library)});
       lockSync('bot', ${JSON.stringify(options)});
       parentPort.postMessage('held');
       setInterval(() => {}, 1000);`,
    );
    const worker = new Worker(pathToFileURL(file));
    await new Promise((held, failed) => worker.once('message', held).once('error', failed));
    equal(tryLock('bot', options), null);
    await worker.terminate();
    let held = null;
    await soon(() => {
      held = tryLock('bot', options);
      return held !== null;
    });
    held.release();
  },
  'bad names and options are refused': async () => {
    for (const name of [
      '',
      '../x',
      'a/b',
      'a\\b',
      'con',
      'AUX',
      'nul.txt',
      'Com1.x.y',
      'lpt9',
      'x.',
      'x ',
      'a'.repeat(201),
      7,
    ]) {
      equal(await codeOf(() => lock(name)), 'LOCK_INVALID_NAME', name);
    }
    for (const options of [{ directory: 'x' }, { wait: -1 }, { unknown: 1 }, { scope: 'x' }]) {
      equal(
        await codeOf(() => lock('bot', options)),
        'LOCK_INVALID_OPTION',
        JSON.stringify(options),
      );
    }
  },
  'the default places are absolute and not in the environment': async () => {
    const { directory } = at();
    const names = ['HOME', 'TMPDIR', 'TMP', 'TEMP', 'XDG_STATE_HOME', 'XDG_RUNTIME_DIR'];
    const windows = ['ProgramData', 'ALLUSERSPROFILE', 'LOCALAPPDATA', 'APPDATA', 'USERPROFILE'];
    const env = { ...process.env };
    // Some runtimes see two variables where Windows sees one.
    for (const name of [...names, ...windows]) {
      for (const key of Object.keys(env)) {
        if (key.toLowerCase() === name.toLowerCase()) delete env[key];
      }
      env[name] = directory;
    }
    const elsewhere = await Actor.start({ env, cwd: directory });
    for (const scope of ['machine', 'user']) {
      const path = lockPath('bot', { scope });
      equal([isAbsolute(path), path.startsWith(directory)], [true, false]);
      equal(await elsewhere.ask('lockPath', 'bot', { scope }), path);
    }
  },
  'a lock in each scope': async () => {
    for (const scope of ['machine', 'user']) {
      const name = `kltest-${process.pid}-platform`;
      const held = lockSync(name, { scope });
      equal(tryLock(name, { scope }), null);
      held.release();
      // Made for this test; in ProgramData, only an administrator deletes one.
      if (!onWindows || scope === 'user') rmSync(held.path);
    }
  },
  'a directory or a symlink in the place of the file is refused': async () => {
    const options = at();
    mkdirSync(lockPath('directory', options));
    equal(await codeOf(() => lock('directory', options)), 'LOCK_UNSAFE_PATH');
    if (onWindows) return; // its links are in windows.mjs
    symlinkSync(join(options.directory, 'target'), lockPath('link', options));
    equal(await codeOf(() => lock('link', options)), 'LOCK_UNSAFE_PATH');
  },
  'a long path': async () => {
    const directory = join(at().directory, ...Array.from({ length: 6 }, () => 'ä'.repeat(50)));
    mkdirSync(directory, { recursive: true });
    lockSync('bot', { directory }).release();
  },
  'the record is a space, JSON and padding': async () => {
    const options = at();
    // Windows lets others read the byte that a reader has locked.
    const held = lockSync('bot', { ...options, shared: true, metadata: 7 });
    const text = readFileSync(lockPath('bot', options), 'utf8');
    held.release();
    const { pid, metadata } = JSON.parse(text.slice(1));
    equal([text[0], text.length, pid, metadata], [' ', 4096, process.pid, 7]);
  },
  'killRunning ends exactly the holder': async () => {
    const options = at();
    const [holder, bystander] = [await Actor.start(), await Actor.start()];
    await holder.ask('lockSync', 'bot', options);
    equal(await killRunning('free', options), false);
    equal(await killRunning('bot', { ...options, force: true }), true);
    await holder.ended;
    equal(checkRunning('bot', options), false);
    equal(await bystander.ask('tryLock', 'free', options), 1);
  },
  'the command line: check, path, list, run': async () => {
    const options = at();
    const place = ['--directory', options.directory];
    const check = async () => (await command('check', 'bot', ...place)).status;
    equal(await check(), 1);
    const held = lockSync('bot', options);
    equal(await check(), 0);
    equal(JSON.parse((await command('list', '--json', ...place)).stdout).length, 1);
    equal((await command('path', 'bot', ...place)).stdout.trim(), lockPath('bot', options));
    const code = globalThis.Deno ? ['eval', 'Deno.exit(3)'] : ['-e', 'process.exit(3)'];
    const program = ['--', runtime, ...emulated, ...code];
    equal((await command('run', 'bot', ...place, ...program)).status, 75);
    held.release();
    equal((await command('run', 'bot', ...place, ...program)).status, 3);
    equal((await command('run', 'bot', ...place, '--', 'no-such-program')).status, 127);
    equal((await command('check', '../x')).status, 64);
  },
  'a missing directory is refused': async () => {
    const directory = join(at().directory, 'missing');
    for (const acquire of [lock, lockSync, tryLock]) {
      equal(await codeOf(() => acquire('bot', { directory })), 'LOCK_PERMISSION');
    }
    equal(checkRunning('bot', { directory }), false);
  },
  ...(onWindows ? windowsCases : posixCases),
};

await runAll(cases);
