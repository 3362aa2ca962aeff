// SingleInstance in programs of its own: how they start, how they are refused, how they release.
import { mkdirSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  checkRunning,
  inspect,
  lockSync,
  SingleInstance,
  type SingleInstanceOptions,
  tryLock,
} from '../dist/index.js';
import { instance, program, signalHandlers } from './support/instance.js';
import { requireRoot } from './support/requires.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };
const ISO_TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';

describe('a program that is the only instance', () => {
  test('says so on stdout, and holds the name until it ends', async () => {
    const directory = freshDirectory();
    const { pid, child, finished } = await instance(
      directory,
      `new SingleInstance('bot', options)`,
    );
    expect(inspect('bot', { directory }).holders).toMatchObject([{ pid }]);
    expect(tryLock('bot', { directory })).toBeNull();
    child.kill('SIGKILL');
    expect((await finished).stdout).toBe(`✅ Lock acquired for 'bot' (PID: ${pid})\nready\n`);
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('ends by itself when it has nothing else to do', async () => {
    const directory = freshDirectory();
    const code = `new SingleInstance('bot', { ...options, onShutdown() {} });`;
    const { pid, finished } = program(directory, code);
    const stdout = `✅ Lock acquired for 'bot' (PID: ${pid})\n`;
    expect(await finished).toMatchObject({ status: 0, stdout });
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('keeps its metadata and mode', async () => {
    const directory = freshDirectory();
    const options = { directory, shared: true, metadata: { mode: 'paper' } };
    using one = new SingleInstance('bot', { ...options, logger: console });
    using two = new SingleInstance('bot', { ...options, logger: console });
    expect([one.lock.shared, two.held]).toEqual([true, true]);
    expect(inspect('bot', { directory }).holders).toMatchObject([{ metadata: { mode: 'paper' } }]);
  });
});

describe('a second instance', () => {
  test('reports who runs on stderr, and exits with status 1', async () => {
    const directory = freshDirectory();
    const { pid } = await instance(directory, `new SingleInstance('bot', options)`);
    const second = program(directory, `new SingleInstance('bot', options); say('went on');`);
    const { status, stdout, stderr } = await second.finished;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });

    const wanted = [
      '❌ Another instance is already running',
      `📍 Running instance PID: ${pid}`,
      'Instance details:',
      `  pid=${pid}`,
      `  started=${ISO_TIME}`,
      `  executable=${process.execPath}`,
      `  argv=${process.execPath} --input-type=module -e '.*' ${directory} 'argument one'`,
      `  cwd=${process.cwd()}`,
      `  user=${userInfo().username}`,
      '  Process status: (running|sleeping|disk sleep)',
      '  CPU: \\d+\\.\\d%',
      '  Memory: \\d+\\.\\d MB',
      `💡 To stop it: kernel-lock bot --directory ${directory} --kill`,
    ];
    const lines = stderr.replace(/\n$/, '').split('\n');
    expect(lines).toEqual(wanted.map((line) => expect.stringMatching(new RegExp(`^${line}$`))));
  });

  test('gives its report to a logger instead', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const code = `new SingleInstance('bot', { ...options, logger }); say('went on');`;
    const { status, stdout, stderr } = await program(directory, code).finished;
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    expect(stdout).toMatch(/^error: ❌ Another instance.*--kill\n$/s);
  });

  test('ends also where a listener of exit throws', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const code = `
      process.on('uncaughtException', () => say('uncaught'));
      process.on('exit', () => { throw new Error('broken'); });
      setImmediate(() => say('went on'));
      try { new SingleInstance('bot', options); } catch {}
      say('went on');`;
    const { status, stdout } = await program(directory, code).finished;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  });

  test("throws with onConflict: 'throw', says nothing and leaves no signal handlers", () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const before = signalHandlers();
    const said: string[] = [];
    const log = (message: string) => said.push(message);
    const logger = { info: log, warn: log, error: log };
    expect(() => new SingleInstance('bot', { directory, onConflict: 'throw', logger })).toThrow(
      expect.objectContaining({
        code: 'LOCK_HELD',
        holder: expect.objectContaining({ pid: process.pid }),
      }),
    );
    expect(said).toEqual([]);
    expect(signalHandlers()).toEqual(before);
  });

  test('reports after a wait in vain, too', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const code = `new SingleInstance('bot', { ...options, wait: 20 }); say('went on');`;
    const { status, stdout, stderr } = await program(directory, code).finished;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain(`📍 Running instance PID: ${process.pid}\n`);
  });

  test('that waits takes over when the first has gone, and a signal ends its wait', async () => {
    const directory = freshDirectory();
    const held = lockSync('bot', { directory });
    const code = `new SingleInstance('bot', { ...options, wait: true }); say('took over');`;
    const impatient = program(directory, code);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    impatient.child.kill('SIGTERM');
    expect(await impatient.finished).toMatchObject({ status: 'SIGTERM', stdout: '' });

    const patient = program(directory, code);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    held.release();
    expect((await patient.finished).stdout).toMatch(/took over\n$/);
  });
});

describe('in a worker thread', () => {
  const worker = (body: string) => `
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(\`
      import { SingleInstance } from '${new URL('../dist/index.js', import.meta.url)}';
      import { parentPort } from 'node:worker_threads';
      new SingleInstance('bot', { directory: '\${directory}' });
      parentPort.postMessage('went on');
      ${body}\`)));
    worker.on('message', say);
    worker.on('exit', (code) => say('worker ended with ' + code));`;

  test('a refused one ends that thread with status 1, and the program goes on', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const { status, stdout, stderr } = await program(directory, worker('')).finished;
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'worker ended with 1\n' });
    expect(stderr).toContain(`📍 Running instance PID: ${process.pid}\n`);
  });

  test('it is released when the thread ends', async () => {
    const directory = freshDirectory();
    const code = `${worker('')} worker.on('exit', () => say(tryLock('bot', options) !== null));`;
    const { stdout } = await program(directory, code).finished;
    expect(stdout).toMatch(/went on\nworker ended with 0\ntrue\n$/);
  });
});

describe('a logger', () => {
  test('that throws at a conflict keeps no second instance running', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const code = `
      process.on('uncaughtException', () => say('went on'));
      const broken = () => { throw new Error('broken logger') };
      new SingleInstance('bot', { ...options, logger: { ...logger, error: broken } });
      say('went on');`;
    const { status, stdout } = await program(directory, code).finished;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  });

  test('gets every message, and the console none', async () => {
    const directory = freshDirectory();
    const failing = `() => { throw new Error('broken') }`;
    const first = await instance(
      directory,
      `new SingleInstance('one', { ...options, logger, onShutdown: ${failing} })`,
    );
    first.child.kill('SIGTERM');
    const one = await first.finished;
    expect(one).toMatchObject({ status: 'SIGTERM', stderr: '' });
    expect(one.stdout).toMatch(
      new RegExp(
        `^info: ✅ Lock acquired for 'one' \\(PID: ${first.pid}\\)\nready\nerror: .*broken`,
      ),
    );

    const second = await instance(
      directory,
      `new SingleInstance('two', { ...options, logger, onShutdown: () => never, shutdownTimeout: 1 })`,
    );
    second.child.kill('SIGTERM');
    const two = await second.finished;
    expect(two).toMatchObject({ status: 'SIGTERM', stderr: '' });
    expect(two.stdout).toMatch(/ready\nwarn: .*longer than 1 ms.*\n$/);
  });

  test.each(['error', 'warn'])(
    'that throws in %s does not keep the program',
    { timeout: 5000 },
    async (method) => {
      const directory = freshDirectory();
      const code = `
      process.on('unhandledRejection', () => {});
      process.on('uncaughtException', () => {});
      const broken = () => { throw new Error('broken logger') };
      const work = { error: () => { throw new Error('failed') }, warn: () => never }.${method};
      new SingleInstance('bot', { ...options, shutdownTimeout: 20, onShutdown: work,
        logger: { ...logger, ${method}: broken } })`;
      const { child, finished } = await instance(directory, code);
      child.kill('SIGTERM');
      expect((await finished).status).toBe('SIGTERM');
    },
  );

  test('that throws at the start leaves no lock behind', () => {
    const directory = freshDirectory();
    const before = signalHandlers();
    const logger = {
      ...console,
      info: () => {
        throw new Error('broken logger');
      },
    };
    expect(() => new SingleInstance('bot', { directory, logger })).toThrow('broken logger');
    expect(checkRunning('bot', { directory })).toBe(false);
    expect(signalHandlers()).toEqual(before);
  });

  test('hears that the lock may be private to this process', async (context) => {
    requireRoot(context);
    const directory = freshDirectory();
    // What PrivateTmp= of systemd does to /tmp.
    const own = join(freshDirectory(), 'systemd-private-0123-bot.service-abc', 'tmp');
    mkdirSync(own, { recursive: true });
    const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
    const unshare = ['unshare', '--mount', 'sh', '-c', script, 'sh', own, directory];
    const code = `new SingleInstance('bot', { ...options, logger });`;
    const { status, stdout } = await program(directory, code, unshare).finished;
    expect(status).toBe(0);
    expect(stdout).toMatch(/^info: ✅ .*\nwarn: .*private.*PrivateTmp.*\n$/);
    expect([readdirSync(directory), readdirSync(own)]).toEqual([[], ['bot.lock']]);
  });
});

describe('release', () => {
  test('gives up the name and the signals, and may be repeated', async () => {
    const directory = freshDirectory();
    const none = [0, 0, 0, 0];
    await expect.poll(signalHandlers).toEqual(none); // those of an instance released just now
    const own = () => {};
    process.on('SIGTERM', own);
    try {
      const instance = new SingleInstance('bot', { directory });
      expect(instance.held).toBe(true);
      expect(process.listeners('SIGTERM')).toContain(own);
      instance.release();
      instance.release();
      expect(instance.held).toBe(false);
      expect(process.listeners('SIGTERM')).toContain(own);
    } finally {
      process.off('SIGTERM', own);
    }
    // Those that were caught before are told first.
    await expect.poll(signalHandlers).toEqual(none);
    {
      using again = new SingleInstance('bot', { directory });
      expect(again.held).toBe(true);
    }
    await expect.poll(signalHandlers).toEqual(none);
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('leaves signals their usual effect: onShutdown does not run any more', async () => {
    const directory = freshDirectory();
    const more = `onShutdown: () => say('shutdown')`;
    const { child, finished } = await instance(
      directory,
      `new SingleInstance('bot', { ...options, ${more} }).release()`,
    );
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).not.toContain('shutdown');
  });
});

describe('an option', () => {
  test.each([
    [{ onConflict: 'ignore' }],
    [{ onConflict: null }],
    [{ onShutdown: 'stop' }],
    [{ shutdownTimeout: -1 }],
    [{ shutdownTimeout: '5' }],
    [{ shutdownTimeout: Number.POSITIVE_INFINITY }],
    [{ shutdownTimeout: Number.NaN }],
    [{ logger: null }],
    [{ logger: 'console' }],
    [{ logger: { info() {}, warn() {} } }],
    [{ wait: 'long' }],
    [{ signal: new AbortController().signal }],
    [{ onshutdown: () => {} }],
  ])('%j that makes no sense is refused, naming it, and nothing is touched', (options) => {
    const directory = freshDirectory();
    const before = signalHandlers();
    const [option] = Object.keys(options) as [string];
    const make = () =>
      new SingleInstance('bot', { directory, ...options } as SingleInstanceOptions);
    expect(make).toThrow(expect.objectContaining({ code: 'LOCK_INVALID_OPTION' }));
    expect(make).toThrow(`'${option}'`);
    expect(readdirSync(directory)).toEqual([]);
    expect(signalHandlers()).toEqual(before);
  });
});
