// How programs with a SingleInstance end: by signals, by exceptions, by themselves.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkRunning, inspect, lockSync, tryLock } from '../dist/index.js';
import { instance, program } from './support/instance.js';
import { requireProgram, requireRoot } from './support/requires.js';
import { isAlive, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };
/** As the first process of a PID namespace of its own. */
const AS_FIRST = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Sends it once more when all listeners have heard the first one. */
const afterTheFirst = (signal: string) => `
  const { emit } = process;
  let first = true;
  process.emit = (...told) => {
    const heard = emit.apply(process, told);
    if (told[0] !== '${signal}' || !first) return heard;
    first = false;
    say('again');
    process.kill(process.pid, '${signal}');
    return heard;
  };`;

describe.each(SIGNALS)('on %s', (signal) => {
  test('the program ends by that signal, without an onShutdown', async () => {
    const directory = freshDirectory();
    const { child, finished } = await instance(directory, `new SingleInstance('bot', options)`);
    child.kill(signal);
    expect(await finished).toMatchObject({ status: signal, stderr: '' });
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('onShutdown runs first, with the signal', async () => {
    const directory = freshDirectory();
    const onShutdown = `(signal) => say('stopping on ' + signal)`;
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} })`;
    const { child, finished } = await instance(directory, code);
    child.kill(signal);
    const { status, stdout } = await finished;
    expect(status).toBe(signal);
    expect(stdout).toMatch(new RegExp(`ready\nstopping on ${signal}\n$`));
  });

  test('a promise is awaited, and the lock is held until then', async () => {
    const directory = freshDirectory();
    const onShutdown = `async () => { say('stopping'); await line(); say('stopped'); }`;
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} })`;
    const { child, finished, says } = await instance(directory, code);
    child.kill(signal);
    await says('stopping\n');
    expect(tryLock('bot', { directory })).toBeNull();
    child.stdin?.write('go on\n');
    const { status, stdout } = await finished;
    expect(status).toBe(signal);
    expect(stdout).toMatch(/stopped\n$/);
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test.each([
    ['throws', `() => { throw new Error('broken') }`],
    ['rejects', `async () => { throw new Error('broken') }`],
    ['throws nonsense', `() => { throw 'broken' }`],
  ])('it ends all the same when onShutdown %s, and says why', async (_, onShutdown) => {
    const directory = freshDirectory();
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} })`;
    const { child, finished } = await instance(directory, code);
    child.kill(signal);
    const { status, stderr } = await finished;
    expect(status).toBe(signal);
    expect(stderr).toMatch(/onShutdown failed: .*broken/);
  });

  test('it ends by the signal also when onShutdown throws what has no text', async () => {
    const onShutdown = '() => { throw Object.create(null) }';
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} })`;
    const { child, finished } = await instance(freshDirectory(), code);
    child.kill(signal);
    expect((await finished).status).toBe(signal);
  });

  test('it ends all the same when onShutdown hangs, after shutdownTimeout, and says why', async () => {
    const directory = freshDirectory();
    const more = 'onShutdown: () => never, shutdownTimeout: 100';
    const { child, finished } = await instance(
      directory,
      `new SingleInstance('bot', { ...options, ${more} })`,
    );
    child.kill(signal);
    const { status, stderr } = await finished;
    expect(status).toBe(signal);
    expect(stderr).toContain('onShutdown took longer than 100 ms');
  });

  test.each([
    ['never resolves', `() => { say('hanging'); return never; }`],
    ['blocks', `() => { say('hanging'); for (;;); }`],
  ])('a second signal ends it at once when onShutdown %s', async (_, onShutdown) => {
    const directory = freshDirectory();
    const more = `onShutdown: ${onShutdown}, shutdownTimeout: 2_000_000`;
    const code = `new SingleInstance('bot', { ...options, ${more} })`;
    // The same signal or another one; the test's own time would run out first.
    await Promise.all(
      (['SIGTERM', 'SIGINT'] as const).map(async (next) => {
        const own = code.replace('bot', next);
        const { child, finished, says } = await instance(directory, own);
        child.kill(signal);
        await says('hanging\n');
        child.kill(next);
        expect((await finished).status).toBe(next);
      }),
    );
  });

  test('it ends at once while it waits for its turn', async () => {
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const more = `wait: true, onShutdown: () => say('shutdown')`;
    const code = `new SingleInstance('bot', { ...options, ${more} }); say('went on');`;
    const { child, finished } = program(directory, code);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    child.kill(signal);
    expect(await finished).toEqual({ status: signal, stdout: '', stderr: '' });
    expect(inspect('bot', { directory }).waiters).toBe(0);
  });

  // The wait blocks the thread that would run it.
  test('a handler of the program runs after the wait', async () => {
    const directory = freshDirectory();
    const held = lockSync('bot', { directory });
    const code = `
      process.on('${signal}', () => { say('handled'); process.exit(); });
      new SingleInstance('bot', { ...options, wait: true });
      say('went on');
      stayAlive();`;
    const { child, finished } = program(directory, code);
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    child.kill(signal);
    held.release();
    const { status, stdout } = await finished;
    expect(status).toBe(0);
    expect(stdout).toMatch(/went on\nhandled\n$/);
  });

  // The logger is called when the lock is held, and nothing listens yet.
  test('it ends at once between the acquisition and the first line of the program', async () => {
    const directory = freshDirectory();
    const kill = `info: () => { say('acquired'); process.kill(process.pid, '${signal}'); }`;
    const more = `logger: { ...logger, ${kill} }, onShutdown: () => say('shutdown')`;
    const code = `new SingleInstance('bot', { ...options, ${more} }); say('went on');`;
    const { status, stdout } = await program(directory, code).finished;
    expect({ status, stdout }).toEqual({ status: signal, stdout: 'acquired\n' });
    expect(checkRunning('bot', { directory })).toBe(false);
  });
});

describe('on a signal', () => {
  test('two instances in one program both get to shut down', async () => {
    const directory = freshDirectory();
    const slow = `async () => { say('stopping'); await line(); say('stopped'); }`;
    const code = `
      new SingleInstance('quick', { ...options, onShutdown: () => say('quick') });
      new SingleInstance('slow', { ...options, onShutdown: ${slow} })`;
    const { child, finished, says } = await instance(directory, code);
    child.stdin?.write('go on\n');
    child.kill('SIGTERM');
    await says('stopping\n');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).toMatch(/stopped\n$/);
  });

  test("the program's own handlers run as well, and do not keep it", async () => {
    const directory = freshDirectory();
    const code = `
      process.on('SIGTERM', () => say('mine'));
      new SingleInstance('bot', { ...options, onShutdown: () => say('shutdown') })`;
    const { child, finished } = await instance(directory, code);
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).toMatch(/mine\n/);
    expect(stdout).toMatch(/shutdown\n/);
  });

  test('onShutdown may release, or exit with a status of its own', async () => {
    const directory = freshDirectory();
    const code = `
      const instance = new SingleInstance('bot', { ...options, onShutdown: async () => {
        instance.release();
        say('released ' + instance.held);
        await line();
        process.exit(7);
      } })`;
    const { child, finished, says } = await instance(directory, code);
    child.kill('SIGTERM');
    await says('released false\n');
    expect(checkRunning('bot', { directory })).toBe(false);
    child.stdin?.write('go on\n');
    expect((await finished).status).toBe(7);
  });

  // The program sends them itself, so that both have been caught before either is told.
  test.each([
    ['SIGTERM', 'SIGINT', ''],
    ['SIGINT', 'SIGINT', ''],
    ['SIGTERM', 'SIGTERM', ''],
    ['SIGTERM', 'SIGINT', `process.on('SIGTERM', () => {});`],
  ])(
    'a second one that comes with it ends it at once: %s and %s, beside "%s"',
    async (first, second, listener) => {
      const code = `
      ${listener}
      const onShutdown = () => never;
      new SingleInstance('bot', { ...options, onShutdown, shutdownTimeout: 2_000_000 });
      stayAlive();
      setTimeout(() => {
        process.kill(process.pid, '${first}');
        process.kill(process.pid, '${second}');
      });`;
      expect((await program(freshDirectory(), code).finished).status).toBe(second);
    },
  );

  test('a program that is released in the turn in which it comes ends by it', async () => {
    const code = `
      const onShutdown = () => say('stopping');
      const only = new SingleInstance('bot', { ...options, onShutdown });
      stayAlive();
      process.kill(process.pid, 'SIGTERM');
      only.release();`;
    const { status, stdout } = await program(freshDirectory(), code).finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).not.toContain('stopping');
  });

  test.each(['on', 'once'])(
    "a listener of the program's own that releases it (%s) may end in its own time",
    async (how) => {
      const code = `
        process.${how}('SIGTERM', async () => {
          only.release();
          await line();
          say('ended');
          process.exit(0);
        });
        const only = new SingleInstance('bot', options);`;
      const { child, finished } = await instance(freshDirectory(), code);
      child.kill('SIGTERM');
      child.stdin?.write('go on\n');
      const { status, stdout } = await finished;
      expect(status).toBe(0);
      expect(stdout).toMatch(/ended\n$/);
    },
  );

  test('an instance that another one releases does no work any more', async () => {
    const code = `
      const first = new SingleInstance('first', { ...options, onShutdown: () => second.release() });
      const second = new SingleInstance('second', { ...options, onShutdown: () => say('wrong') });`;
    const { child, finished } = await instance(freshDirectory(), code);
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).not.toContain('wrong');
  });

  test("onShutdown begins before the program's own listener ends the process", async () => {
    const code = `
      new SingleInstance('bot', { ...options, onShutdown: () => say('closed') });
      process.on('SIGTERM', () => process.exit(3));`;
    const { child, finished } = await instance(freshDirectory(), code);
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect(status).toBe(3);
    expect(stdout).toMatch(/closed\n$/);
  });

  test("a logger whose promise rejects does not cut another instance's onShutdown short", async () => {
    const code = `
      const bad = { info() {}, warn() {}, error: async () => { throw new Error('log server is away'); } };
      new SingleInstance('first', { ...options, logger: bad, onShutdown: () => { throw new Error(); } });
      const onShutdown = async () => { say('closing'); await line(); say('closed'); };
      new SingleInstance('second', { ...options, onShutdown });`;
    const { child, finished, says } = await instance(freshDirectory(), code);
    child.kill('SIGTERM');
    await says('closing\n');
    child.stdin?.write('go on\n');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).toMatch(/closed\n$/);
  });

  test("a second one ends it at once, past the program's own handlers", async () => {
    const directory = freshDirectory();
    const code = `
      process.on('SIGTERM', () => say('mine'));
      const onShutdown = () => { say('hanging'); return never; };
      new SingleInstance('bot', { ...options, onShutdown, shutdownTimeout: 2_000_000 })`;
    const { child, finished, says } = await instance(directory, code);
    child.kill('SIGTERM');
    await says('hanging\n');
    child.kill('SIGTERM');
    expect((await finished).status).toBe('SIGTERM');
  });

  test('an instance that is made meanwhile does not catch the second one', async () => {
    const directory = freshDirectory();
    const code = `
      const first = new SingleInstance('bot', { ...options, onShutdown: () => {
        first.release();
        new SingleInstance('bot', { ...options, onShutdown: () => say('caught') });
        say('hanging');
        return never;
      } })`;
    const { child, finished, says } = await instance(directory, code);
    child.kill('SIGTERM');
    await says('hanging\n');
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).not.toContain('caught');
  });

  // Ctrl+Break, where Windows emits it; nothing can send it here.
  test('SIGBREAK is one of them', async () => {
    const directory = freshDirectory();
    const onShutdown = `(signal) => { say('stopping on ' + signal); process.exit(); }`;
    const code = `
      new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} });
      process.emit('SIGBREAK', 'SIGBREAK');`;
    const { status, stdout } = await program(directory, code).finished;
    expect(status).toBe(0);
    expect(stdout).toMatch(/stopping on SIGBREAK\n$/);
  });
});

// The program sends them itself, at each turn of its loop: the listeners go at one of them.
describe('at the moment in which the listeners go, a signal is not lost', () => {
  const AT_TURN = `const atTurn = (n, act) => (n === 0 ? act() : setImmediate(atTurn, n - 1, act));`;
  const TURNS = [1, 2, 3, 4];

  test.each(SIGNALS)('%s after a release', async (signal) => {
    const code = (turn: number) => `
      ${AT_TURN}
      const only = new SingleInstance('${turn}', options);
      stayAlive();
      atTurn(${turn}, () => process.kill(process.pid, '${signal}'));
      only.release();
      atTurn(10, () => process.exit(7));`;
    const directory = freshDirectory();
    const ends = TURNS.map((turn) => program(directory, code(turn)).finished);
    expect((await Promise.all(ends)).map(({ status }) => status)).toEqual(TURNS.map(() => signal));
  });

  test.each(['SIGTERM', 'SIGINT'])('%s as the second one', async (second) => {
    // The work begins when they have gone.
    const code = (turn: number) => `
      ${AT_TURN}
      new SingleInstance('${turn}', { ...options, onShutdown: () => process.exit(7) });
      stayAlive();
      setImmediate(() => {
        atTurn(${turn}, () => process.kill(process.pid, '${second}'));
        process.kill(process.pid, 'SIGTERM');
      });`;
    const directory = freshDirectory();
    const ends = [1, 2].map((turn) => program(directory, code(turn)).finished);
    expect((await Promise.all(ends)).map(({ status }) => status)).toEqual([second, second]);
  });

  test('after the release of two, each of its own copy of the package', async () => {
    // In the first turn each leaves a signal to the other's listener.
    const code = (turn: number) => `
      ${AT_TURN}
      const { SingleInstance: Other } = await import('${new URL('../dist/index.js', import.meta.url)}?2');
      const two = [new SingleInstance('a${turn}', options), new Other('b${turn}', options)];
      stayAlive();
      atTurn(${turn}, () => process.kill(process.pid, 'SIGTERM'));
      for (const instance of two) instance.release();
      atTurn(10, () => process.exit(7));`;
    const directory = freshDirectory();
    const turns = [2, 3, 4];
    const ends = turns.map((turn) => program(directory, code(turn)).finished);
    expect((await Promise.all(ends)).map(({ status }) => status)).toEqual(
      turns.map(() => 'SIGTERM'),
    );
  });
});

describe('after a release', () => {
  test('a signal ends a program that is blocked', async () => {
    const code = `new SingleInstance('bot', options).release(); say('released'); for (;;);`;
    const { child, finished, says } = program(freshDirectory(), code);
    await says('released\n');
    child.kill('SIGTERM');
    expect((await finished).status).toBe('SIGTERM');
  });

  test.each([
    ['at once', '(act) => act()'],
    ['in the next turn', 'setImmediate'],
    ['in the one after it', '(act) => setImmediate(setImmediate, act)'],
    ['later', '(act) => setTimeout(act)'],
  ])('another instance hears signals, and so does another listener: %s', async (_, when) => {
    const send = `process.kill(process.pid, 'SIGTERM');`;
    const make = `new SingleInstance('bot', { ...options, onShutdown: () => process.exit(7) });`;
    const on = `process.once('SIGTERM', () => process.exit(7));`;
    const code = (next: string, name: string) => `
      new SingleInstance('${name}', options).release();
      stayAlive();
      (${when})(() => { ${next} ${send} });`;
    const directory = freshDirectory();
    const ends = [make, on].map((next, i) => program(directory, code(next, `${i}`)).finished);
    expect((await Promise.all(ends)).map(({ status }) => status)).toEqual([7, 7]);
  });

  test('in a worker thread, the signals of the main thread are its own', async () => {
    const worker = `
      import { workerData as directory } from 'node:worker_threads';
      import { SingleInstance } from '${new URL('../dist/index.js', import.meta.url)}';
      new SingleInstance('bot', { directory }).release();
      process.kill(process.pid, 'SIGTERM');`;
    const code = `
      import { Worker } from 'node:worker_threads';
      process.on('SIGTERM', () => { say('mine'); process.exit(7); });
      const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(worker)}));
      new Worker(url, { workerData: directory });
      stayAlive();`;
    const { status, stdout } = await program(freshDirectory(), code).finished;
    expect(status).toBe(7);
    expect(stdout).toMatch(/mine\n$/);
  });
});

describe('SIGHUP', () => {
  const slow = `async (signal) => { say('stopping on ' + signal); await line(); say('stopped'); }`;

  // A real terminal, closed: the kernel tells the shell, the shell tells its jobs and ends, and the
  // kernel tells them again. It tells the leader of the session, which this shell becomes by exec,
  // whatever $SHELL script(1) starts it with: dash stays between otherwise, and is told in its place.
  test.for([
    ['', 'it comes, twice as a rule, and onShutdown runs to its end'],
    ['setsid ', 'it does not come to a program under setsid'],
  ])('from a closed terminal, "%s": %s', async ([prefix], context) => {
    requireProgram(context, 'setsid'); // and script(1) of util-linux
    const directory = freshDirectory();
    const [log, file] = [`${directory}/log`, `${directory}/bot.mjs`];
    writeFileSync(
      file,
      `import { appendFileSync, readFileSync } from 'node:fs';
      import { SingleInstance } from '${new URL('../dist/index.js', import.meta.url)}';
      const note = (text) => appendFileSync('${log}', text + '\\n');
      const logger = { info() {}, warn() {}, error() {} };
      const isAlive = (pid) => {
        try {
          return !/^State:\\s+[ZX]/m.test(readFileSync(\`/proc/\${pid}/status\`, 'utf8'));
        } catch {
          return false; // It was reaped between two looks, or while this one read.
        }
      };
      const onShutdown = async (signal) => {
        // Both have come when the shell has ended, whether or not its new parent has looked.
        while (isAlive(shell)) await new Promise((resolve) => setTimeout(resolve, 5));
        note('stopped on ' + signal);
      };
      const shell = process.argv[2];
      new SingleInstance('bot', { directory: '${directory}', logger, onShutdown });
      setInterval(() => {}, 60_000);
      note(shell);`,
    );
    const terminal = start('script', ['-q', '-c', 'exec bash --norc -i', '/dev/null'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    terminal.child.stdin?.write(`${prefix}'${process.execPath}' '${file}' $$\n`);
    const logged = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
    await expect.poll(logged, POLL).toMatch(/^\d+\n$/);
    const shell = Number(logged());
    const { pid } = inspect('bot', { directory }).holders[0] as { pid: number };
    onTestFinished(() => endIfAlive(pid));
    terminal.child.kill('SIGKILL');
    if (prefix !== '') {
      await expect.poll(() => isAlive(shell), POLL).toBe(false);
      expect(checkRunning('bot', { directory })).toBe(true);
      process.kill(pid, 'SIGTERM');
    }
    await expect.poll(() => checkRunning('bot', { directory }), POLL).toBe(false);
    expect(logged()).toBe(`${shell}\nstopped on ${prefix === '' ? 'SIGHUP' : 'SIGTERM'}\n`);
  });

  // systemd sends it right after SIGTERM where a unit says SendSIGHUP=.
  test.each(['SIGHUP', 'SIGTERM'] as const)(
    'after %s does not cut onShutdown short',
    async (signal) => {
      const directory = freshDirectory();
      const code = `
        new SingleInstance('bot', { ...options, onShutdown: ${slow} });
        process.on('SIGHUP', () => say('told'))`;
      const { child, finished, says } = await instance(directory, code);
      child.kill(signal);
      await says(`stopping on ${signal}\n`);
      child.kill('SIGHUP');
      await says(signal === 'SIGHUP' ? /told\n[\s\S]*told\n/ : 'told\n');
      child.stdin?.write('go on\n');
      const { status, stdout } = await finished;
      expect(status).toBe(signal);
      expect(stdout).toMatch(/stopped\n$/);
    },
  );

  // Of two that wait for a process, the kernel delivers SIGHUP first.
  test.each([
    ['SIGTERM', 'nothing', 'SIGTERM'],
    ['SIGTERM', 'SIGHUP', 'SIG'],
    ['SIGTERM', 'SIGHUP and SIGTERM', 'SIG'],
    ['SIGINT', 'SIGINT', 'SIGINT'],
  ] as const)(
    'that comes with another one does not cut onShutdown short: %s, and the program listens for %s',
    async (other, own, told) => {
      const directory = freshDirectory();
      const listening = (own.match(/SIG\w+/g) ?? []).map(
        (name) => `process.on('${name}', () => {});`,
      );
      const code = `
      new SingleInstance('bot', { ...options, onShutdown: ${slow} });
      ${listening.join('')}`;
      const { child, finished, says } = await instance(directory, code);
      child.kill('SIGSTOP');
      const status = () => inspect('bot', { directory }).holders[0]?.status;
      await expect.poll(status, POLL).toBe('stopped');
      for (const signal of [other, 'SIGHUP', 'SIGCONT'] as const) child.kill(signal);
      await says(`stopping on ${told}`);
      child.stdin?.write('go on\n');
      const end = await finished;
      expect(end.stdout).toMatch(/stopped\n$/);
      expect(end.status).toBe(other);
    },
  );

  test('is the first one, and SIGTERM comes while onShutdown blocks: ends it then', async () => {
    const directory = freshDirectory();
    const code = `
      import { readSync } from 'node:fs';
      const onShutdown = () => {
        say('blocking');
        readSync(0, Buffer.alloc(1)); // SIGTERM has come
        const end = performance.now() + 200;
        while (performance.now() < end);
        return never;
      };
      new SingleInstance('bot', { ...options, onShutdown, shutdownTimeout: 2_000_000 });
      for (const signal of ['SIGHUP', 'SIGTERM']) process.on(signal, () => {});`;
    const { child, finished, says } = await instance(directory, code);
    child.kill('SIGHUP');
    await says('blocking\n');
    child.kill('SIGTERM');
    child.stdin?.write('go on\n');
    expect((await finished).status).toBe('SIGTERM');
  });

  test.each(['', `process.on('SIGTERM', () => {});`])(
    'is the first one, and SIGTERM the second one, which ends it at once: %s',
    async (also) => {
      const code = `new SingleInstance('bot', { ...options, onShutdown: ${slow} }); ${also}`;
      const { child, finished, says } = await instance(freshDirectory(), code);
      child.kill('SIGHUP');
      await says('stopping on SIGHUP\n');
      child.kill('SIGTERM');
      const { status, stdout } = await finished;
      expect(status).toBe('SIGTERM');
      expect(stdout).not.toContain('stopped');
    },
  );

  test('as soon as the first one was told does not end the process either', async () => {
    const directory = freshDirectory();
    const code = `
      ${afterTheFirst('SIGHUP')}
      const onShutdown = async (signal) => { await line(); say('stopped on ' + signal); };
      new SingleInstance('bot', { ...options, onShutdown })`;
    const { child, finished, says } = await instance(directory, code);
    child.kill('SIGHUP');
    await says('again\n');
    child.stdin?.write('go on\n');
    const { status, stdout } = await finished;
    expect(stdout).toMatch(/stopped on SIGHUP\n/);
    expect(status).toBe('SIGHUP');
  });

  // Another thread has caught it meanwhile, and libuv tells it so.
  test('is the first one, and SIGTERM that came with it is told late: it is what ends it', async () => {
    const onShutdown = `async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      process.emit('SIGTERM', 'SIGTERM');
      await line();
      say('stopped');
    }`;
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} });`;
    const { child, finished } = await instance(freshDirectory(), code);
    child.kill('SIGHUP');
    child.stdin?.write('\n');
    const { status, stdout } = await finished;
    expect({ status, stdout }).toEqual({
      status: 'SIGTERM',
      stdout: expect.stringMatching(/stopped\n$/),
    });
  });

  test('as the second one ends a blocked onShutdown, where another listened for the first only', async () => {
    const onShutdown = `async () => {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      say('blocks');
      for (const end = performance.now() + 20_000; performance.now() < end; );
      say('stopped');
    }`;
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} });
      process.once('SIGTERM', () => {});`;
    const { child, finished, says } = await instance(freshDirectory(), code);
    child.kill('SIGTERM');
    await says('blocks');
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect({ status, stdout }).toEqual({
      status: 'SIGTERM',
      stdout: expect.not.stringContaining('stopped'),
    });
  });

  test('is left to a program that listened for it before', async () => {
    const directory = freshDirectory();
    const code = `
      process.on('SIGHUP', () => say('reloaded'));
      new SingleInstance('bot', { ...options, onShutdown: (signal) => say('stopping on ' + signal) })`;
    const { child, finished, says } = await instance(directory, code);
    child.kill('SIGHUP');
    await says('reloaded\n');
    expect(checkRunning('bot', { directory })).toBe(true);
    child.kill('SIGTERM');
    const { status, stdout } = await finished;
    expect(status).toBe('SIGTERM');
    expect(stdout).toMatch(/reloaded\nstopping on SIGTERM\n$/);
  });

  // Node resets ignored signals when it starts, so that nobody can know of nohup.
  test.each([
    ['without an instance', '', 'SIGHUP'],
    ['with one', `new SingleInstance('bot', options);`, 'SIGHUP'],
    [
      'unless the program listens for it',
      `process.on('SIGHUP', () => say('still here')); new SingleInstance('bot', options);`,
      'SIGTERM',
    ],
  ])('ends a Node program under nohup, %s', async (_, code, end) => {
    const { child, finished, says } = program(
      freshDirectory(),
      `${code} stayAlive(); say('ready');`,
      ['nohup'],
    );
    await says('ready\n');
    child.kill('SIGHUP');
    if (end === 'SIGTERM') {
      await says('still here\n');
      child.kill('SIGTERM');
    }
    expect((await finished).status).toBe(end);
  });
});

// The first process of a container: a signal without a handler does not end it.
describe('as PID 1', () => {
  // The one place where something runs after the release, so it shows that there was one.
  test('it releases, and exits with 128+n', async (context) => {
    requireRoot(context);
    const code = `
      process.on('exit', () => say('at exit: ' + (tryLock('bot', options) ? 'free' : 'held')));
      new SingleInstance('bot', options);
      say('I am ' + process.pid);
      stayAlive();
      process.kill(process.pid, 'SIGTERM');`;
    const { status, stdout } = await program(freshDirectory(), code, AS_FIRST).finished;
    expect(stdout).toContain('I am 1\n');
    expect(stdout).toMatch(/at exit: free\n$/);
    expect(status).toBe(143);
  });

  test.for([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)(
    'a second signal ends it at once, %s with status %i',
    async ([second, wanted], context) => {
      requireRoot(context);
      const onShutdown = `() => { say('hanging'); return never; }`;
      const more = `onShutdown: ${onShutdown}, shutdownTimeout: 2_000_000`;
      const code = `
      new SingleInstance('bot', { ...options, ${more} });
      stayAlive();
      say('I am ' + process.pid);`;
      const { pid, finished, says } = program(freshDirectory(), code, AS_FIRST);
      await says('I am 1\n');
      // As a container's runtime sends it: from outside.
      const first = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
      process.kill(first, 'SIGTERM');
      await says('hanging\n');
      process.kill(first, second);
      expect((await finished).status).toBe(wanted);
    },
  );
});

describe('as PID 1, as soon as the first signal was told', () => {
  test('the second one is not lost', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const code = `
      ${afterTheFirst('SIGTERM')}
      const onShutdown = () => { say('hanging'); return never; };
      new SingleInstance('bot', { ...options, onShutdown, shutdownTimeout: 2_000_000 });
      stayAlive();
      process.kill(process.pid, 'SIGTERM');`;
    const { status } = await program(freshDirectory(), code, AS_FIRST).finished;
    expect(status).toBe(143);
  });
});

describe('as PID 1, with a listener of exit that throws', () => {
  test('it ends all the same', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const code = `
      process.on('uncaughtException', () => say('uncaught'));
      process.on('exit', () => { throw new Error('broken'); });
      new SingleInstance('bot', options);
      stayAlive();
      process.kill(process.pid, 'SIGTERM');`;
    expect((await program(freshDirectory(), code, AS_FIRST).finished).status).toBe(143);
  });
});

describe('as PID 1 that waits', () => {
  test('a signal is not lost where the wait is in vain', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const directory = freshDirectory();
    using _held = lockSync('bot', { directory });
    const code = `
      say('I am ' + process.pid);
      try {
        new SingleInstance('bot', { ...options, wait: 5000, onConflict: 'throw' });
      } catch {}
      stayAlive();`;
    const { pid, finished, says } = program(directory, code, AS_FIRST);
    await says('I am 1\n');
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')), 'SIGTERM');
    expect((await finished).status).toBe(143);
  });

  test('a signal is not lost: onShutdown runs after the wait', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const directory = freshDirectory();
    const held = lockSync('bot', { directory });
    const code = `
      say('I am ' + process.pid);
      new SingleInstance('bot', { ...options, wait: true, onShutdown: (signal) => say(signal) });
      stayAlive();`;
    const { pid, finished, says } = program(directory, code, AS_FIRST);
    await says('I am 1\n');
    await expect.poll(() => inspect('bot', { directory }).waiters, POLL).toBe(1);
    const first = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
    process.kill(first, 'SIGTERM');
    held.release();
    const { status, stdout } = await finished;
    expect(stdout).toMatch(/SIGTERM\n$/);
    expect(status).toBe(143);
  });
});

describe('without a signal', () => {
  test.each([
    ['an uncaught exception', `throw new Error('broken')`, 1],
    ['an unhandled rejection', `Promise.reject(new Error('broken'))`, 1],
    ['process.exit', 'process.exit(7)', 7],
  ])('%s ends it as ever: the lock is free, onShutdown does not run', async (_, end, wanted) => {
    const directory = freshDirectory();
    const onShutdown = `onShutdown: () => say('shutdown')`;
    const code = `new SingleInstance('bot', { ...options, ${onShutdown} });
      process.stdin.once('data', () => { ${end} })`;
    const { child, finished } = await instance(directory, code);
    child.stdin?.write('end\n');
    const { status, stdout, stderr } = await finished;
    expect(status).toBe(wanted);
    expect(stdout).not.toContain('shutdown');
    expect(stderr.includes('Error: broken')).toBe(wanted === 1);
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test('an uncaught exception beside a pending onShutdown ends it as ever, too', async () => {
    const directory = freshDirectory();
    const onShutdown = `() => { setImmediate(() => { throw new Error('broken'); }); return never; }`;
    const code = `new SingleInstance('bot', { ...options, onShutdown: ${onShutdown} })`;
    const { child, finished } = await instance(directory, code);
    child.kill('SIGTERM');
    expect(await finished).toMatchObject({ status: 1, stderr: expect.stringContaining('broken') });
    expect(checkRunning('bot', { directory })).toBe(false);
  });
});

function endIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {}
}
