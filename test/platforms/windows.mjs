// The cases that only Windows has: its paths, and programs that keep others from opening a file.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  Actor,
  at,
  checkRunning,
  cliFile,
  codeOf,
  equal,
  inspect,
  list,
  lock,
  lockPath,
  lockSync,
  NotRun,
  runtime,
  soon,
  tryLock,
} from './kit.mjs';

// Wine has no PowerShell, and Windows need have no compiler.
const POWERSHELL = ['-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File'];
const script = fileURLToPath(new URL('opener_win.ps1', import.meta.url));
const openerCommand = process.argv[4]
  ? [process.argv[4]]
  : ['powershell.exe', ...POWERSHELL, script];

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A program that has the file open in the way of others; see opener_win.c. */
class Opener {
  #child;

  static async start(...args) {
    const [program, ...before] = openerCommand;
    const opener = new Opener();
    opener.#child = spawn(program, [...before, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    opener.ended = new Promise((done) => opener.#child.on('exit', done));
    const [line] = await Promise.race([
      new Promise((said) => {
        createInterface({ input: opener.#child.stdout }).once('line', (text) => said([text]));
      }),
      opener.ended.then((code) => [`ended with ${code}`]),
      new Promise((said) => {
        opener.#child.once('error', ({ message }) => said([message]));
      }),
    ]);
    equal(line, 'open', 'the opener');
    return opener;
  }

  stop() {
    this.#child.kill();
    return this.ended;
  }
}

function parseRecord(text) {
  return text.trim() === '' ? undefined : JSON.parse(text);
}

async function messageOf(call) {
  return (await call().catch((error) => error)).message;
}

function canNot(call) {
  try {
    call();
    return false;
  } catch {
    return true;
  }
}

export const windowsCases = {
  'the record of a released lock names nobody, as the next holder may write none': () => {
    const options = at();
    for (const shared of [true, false]) {
      lockSync('bot', { ...options, shared, metadata: 7 }).release();
      equal(readFileSync(lockPath('bot', options), 'utf8').slice(0, 2), '  ');
    }
  },
  'spellings of one directory are one lock': () => {
    const { directory } = at();
    const [drive] = directory;
    const held = lockSync('bot', { directory });
    for (const spelling of [
      directory.replaceAll('\\', '/'),
      `${directory}\\`,
      `${directory}/`,
      directory.replaceAll('\\', '\\\\\\').replace('\\\\', ''),
      `${directory}\\sub\\..`,
      `${directory}\\.\\sub\\..\\.`,
      directory.toUpperCase(),
      directory.toLowerCase(),
      drive.toLowerCase() + directory.slice(1),
    ]) {
      const options = { directory: spelling };
      equal(tryLock('bot', options), null, spelling);
      equal(inspect('bot', options).held, true, spelling);
      equal(
        list(options).map(({ name }) => name),
        ['bot'],
        spelling,
      );
    }
    held.release();
  },
  'a directory that means something else elsewhere is refused': async () => {
    const { directory } = at();
    mkdirSync(join(directory, 'dir'));
    const [drive] = directory;
    for (const spelling of [
      `${directory}\\dir.`,
      `${directory}\\dir `,
      `${directory}\\dir. `,
      `${directory}\\dir.\\`,
      `${directory}\\dir. \\..\\dir`,
      `${directory}\\...`,
      `${drive}:`,
      `${drive}:relative`,
      '\\rooted',
      '/rooted',
      '\\\\server',
      '\\\\server\\',
      `\\\\?\\${directory}`,
      `//?/${directory}`,
      `\\\\.\\${directory}`,
      `//./${directory}`,
      '\\\\.\\pipe\\x',
    ]) {
      equal(
        await codeOf(() => lock('bot', { directory: spelling })),
        'LOCK_INVALID_OPTION',
        spelling,
      );
    }
  },
  'names differ by more than case': () => {
    const options = at();
    const held = lockSync('Bot', options);
    equal([tryLock('bot', options), checkRunning('BOT', options)], [null, true]);
    held.release();
  },
  'a directory of a thousand characters': async () => {
    const options = { directory: join(at().directory, ...Array(12).fill('d'.repeat(80))) };
    mkdirSync(options.directory, { recursive: true });
    const other = await Actor.start();
    await other.ask('lockSync', 'bot', { ...options, metadata: 7 });
    equal(tryLock('bot', options), null);
    const { held, holders } = inspect('bot', options);
    equal([held, holders[0]?.pid, holders[0]?.metadata], [true, other.pid, 7]);
    equal(list(options).length, 1);
    const waiting = lock('bot', { ...options, wait: 30_000 });
    await other.kill();
    (await waiting).release();
  },
  'a junction in the place of the file is refused': async () => {
    const options = at();
    const target = join(options.directory, 'target');
    mkdirSync(target);
    try {
      symlinkSync(target, lockPath('bot', options), 'junction');
    } catch ({ code }) {
      throw new NotRun(`no junction can be made here (${code})`);
    }
    equal(await codeOf(() => lock('bot', options)), 'LOCK_UNSAFE_PATH');
  },
  'a symlink in the place of the file is refused': async () => {
    const options = at();
    const target = join(options.directory, 'target');
    writeFileSync(target, '');
    try {
      symlinkSync(target, lockPath('bot', options), 'file');
    } catch ({ code }) {
      throw new NotRun(`no symlink can be made here (${code})`);
    }
    if (lstatSync(lockPath('bot', options), { throwIfNoEntry: false }) === undefined) {
      throw new NotRun('Wine says that it has made the symlink, and there is none');
    }
    equal(await codeOf(() => lock('bot', options)), 'LOCK_UNSAFE_PATH');
    equal(readFileSync(target, 'utf8'), '');
  },
  'a read-only file is locked without a record': async () => {
    const options = at();
    const path = lockPath('bot', options);
    writeFileSync(path, 'x');
    chmodSync(path, 0o444);
    if (!canNot(() => closeSync(openSync(path, 'r+')))) {
      throw new NotRun('root on Wine writes to read-only files');
    }
    const held = lockSync('bot', options);
    const other = await Actor.start();
    equal(await other.ask('tryLock', 'bot', options), null);
    held.release();
    equal(await other.ask('tryLock', 'bot', options), 1);
    await other.kill();
    chmodSync(path, 0o666);
    equal(readFileSync(path, 'utf8'), 'x');
  },
  'a held lock file can be neither deleted nor renamed': () => {
    const held = lockSync('bot', at());
    equal(
      canNot(() => rmSync(held.path)),
      true,
      'deleting it failed',
    );
    equal(
      canNot(() => renameSync(held.path, `${held.path}.old`)),
      true,
      'renaming it failed',
    );
    equal([existsSync(held.path), held.signal.aborted], [true, false]);
    held.release();
  },
  'a virus scanner that opens the file for 200 ms is waited for': async () => {
    for (const acquire of [lock, lockSync, tryLock]) {
      const options = at();
      const opener = await Opener.start('unshared', lockPath('bot', options), '200');
      const held = await acquire('bot', options);
      held.release();
      await opener.ended;
    }
  },
  'a program that shares the file with nobody is told, and is no holder': async () => {
    const options = at();
    const opener = await Opener.start('unshared', lockPath('bot', options));
    for (const acquire of [lock, lockSync, tryLock]) {
      equal(await codeOf(() => acquire('bot', options)), 'LOCK_PERMISSION');
    }
    const message = await messageOf(() => lock('bot', options));
    equal(/shares it with nobody.*ERROR_SHARING_VIOLATION/.test(message), true, message);
    equal(inspect('bot', options).held, false);
    await opener.stop();
    lockSync('bot', options).release();
  },
  'a wait outlasts a program that shares the file with nobody': async () => {
    const options = at();
    const opener = await Opener.start('unshared', lockPath('bot', options));
    equal(await codeOf(() => lock('bot', { ...options, wait: 20 })), 'LOCK_TIMEOUT');
    equal(await codeOf(() => lockSync('bot', { ...options, wait: 20 })), 'LOCK_TIMEOUT');
    const controller = new AbortController();
    const reason = new Error('enough');
    const cancelled = lock('bot', { ...options, wait: true, signal: controller.signal });
    const waiting = lock('bot', { ...options, wait: 30_000 });
    controller.abort(reason);
    equal(await cancelled.catch((error) => error === reason), true);
    await opener.stop();
    (await waiting).release();
  },
  'a foreign lock of an empty file is seen': async () => {
    const options = at();
    const path = lockPath('bot', options);
    const opener = await Opener.start('locked', path);
    equal([statSync(path).size, inspect('bot', options).held], [0, true]);
    for (const acquire of [lock, lockSync]) {
      equal(await codeOf(() => acquire('bot', options)), 'LOCK_HELD');
    }
    equal(tryLock('bot', options), null);
    await opener.stop();
    (await lock('bot', { ...options, wait: 5000 })).release();
  },
  'who has let go is in the record no more, and leaves that of another reader': async () => {
    const place = at();
    const options = { ...place, shared: true };
    const pidInRecord = () => parseRecord(readFileSync(lockPath('bot', place), 'utf8'))?.pid;
    const [first, second] = [await Actor.start(), await Actor.start()];
    const mine = await first.ask('lockSync', 'bot', options);
    const other = await second.ask('lockSync', 'bot', options);
    equal(pidInRecord(), second.pid);
    await first.ask('release', mine);
    equal(pidInRecord(), second.pid);
    await second.ask('release', other);
    equal(pidInRecord(), undefined);
  },
  'an asynchronous wait does not block its thread while a program is in the way': async () => {
    const options = at();
    const opener = await Opener.start('unshared', lockPath('bot', options));
    const blocked = [];
    for (let i = 0; i < 10; i++) {
      const controller = new AbortController();
      const started = performance.now();
      const waiting = lock('bot', { ...options, wait: true, signal: controller.signal });
      blocked.push(performance.now() - started);
      controller.abort();
      equal(await codeOf(() => waiting), DOMException.ABORT_ERR);
    }
    const waiting = lock('bot', { ...options, wait: true });
    await opener.stop();
    (await waiting).release();
    // An attempt that does not wait gives such a program 500 ms: every one would have taken that.
    equal(Math.min(...blocked) < 400, true, `they took ${blocked} ms`);
  },
  'a run that is killed takes its program along': async () => {
    const options = at();
    const told = join(options.directory, 'pid');
    const code = `fs.writeFileSync(process.argv[1], String(process.pid)); setInterval(() => {}, 1000)`;
    const program = [runtime, '-e', code, told];
    const words = [cliFile, 'run', 'bot', '--directory', options.directory, '--', ...program];
    const wrapper = spawn(runtime, words, { stdio: 'ignore' });
    const ended = new Promise((resolve) => wrapper.on('exit', resolve));
    await soon(() => existsSync(told) && readFileSync(told, 'utf8') !== '');
    const pid = Number(readFileSync(told, 'utf8'));
    equal([isAlive(pid), tryLock('bot', options)], [true, null]);
    wrapper.kill('SIGKILL');
    await ended;
    await soon(() => !isAlive(pid));
    await soon(() => !checkRunning('bot', options));
  },
  'a deletion in progress is waited for': async () => {
    const options = at();
    writeFileSync(lockPath('bot', options), '');
    const opener = await Opener.start('deleted', lockPath('bot', options), '200');
    lockSync('bot', options).release();
    await opener.ended;
    equal(existsSync(lockPath('bot', options)), true);
  },
  'a deletion that does not end is refused': async () => {
    const options = at();
    writeFileSync(lockPath('bot', options), '');
    const opener = await Opener.start('deleted', lockPath('bot', options));
    equal(await codeOf(() => lock('bot', options)), 'LOCK_PERMISSION');
    await opener.stop();
    lockSync('bot', options).release();
  },
};
