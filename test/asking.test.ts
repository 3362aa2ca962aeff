// What asking costs, and that it disturbs nobody.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Lock, list, lockPath, lockSync, tryLock } from '../dist/index.js';
import { LockTable } from '../src/linux.js';
import { Actor } from './support/actor.js';
import { requireProgram, requireRoot, requireWholeTable } from './support/requires.js';
import { CLI, run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const LIBRARY = new URL('../dist/index.js', import.meta.url).href;

/** A directory with so many lock files, one in 25 of them held by this process. */
function many(files: number): { directory: string; held: Lock[]; [Symbol.dispose](): void } {
  const directory = freshDirectory();
  const names = Array.from({ length: files }, (_, index) => `lock${index}`);
  for (const name of names) writeFileSync(join(directory, `${name}.lock`), '');
  const held = names
    .filter((_, index) => index % 25 === 0)
    .map((name) => lockSync(name, { directory }));
  return {
    directory,
    held,
    [Symbol.dispose]: () => {
      for (const one of held) one.release();
    },
  };
}

/** The system calls of a program, one a line, and what it printed. */
async function trace(args: string[]): Promise<{ calls: string[]; stdout: string }> {
  const file = join(freshDirectory(), 'strace');
  const end = await run('strace', ['-f', '-o', file, process.execPath, ...args]);
  return { calls: readFileSync(file, 'utf8').split('\n'), stdout: end.stdout };
}

describe('list', () => {
  test('of 5,000 lock files, 200 of them held, makes a few system calls for each', async (context) => {
    requireProgram(context, 'strace');
    requireWholeTable(context);
    const cost = async (files: number) => {
      using all = many(files);
      const script = `
        import { existsSync } from 'node:fs';
        import { list } from '${LIBRARY}';
        const options = { directory: ${JSON.stringify(all.directory)} };
        list(options);
        existsSync('/begin');
        const found = list(options).length;
        existsSync('/end');
        console.log(found);`;
      const { calls, stdout } = await trace(['--input-type=module', '-e', script]);
      expect(stdout).toBe(`${all.held.length}\n`);
      const [begin, end] = ['"/begin"', '"/end"'].map((mark) =>
        calls.findIndex((call) => call.includes(mark)),
      );
      // One thread's: others of Node's may have something to do meanwhile.
      const thread = calls[begin as number]?.split(' ')[0] as string;
      const between = calls
        .slice((begin as number) + 1, end)
        .filter((call) => call.startsWith(thread));
      return { held: all.held.length, files, calls: between.length };
    };
    const few = await cost(1000);
    const lots = await cost(5000);
    // One look at each file; reading the record and the kernel's word where one is held.
    for (const { held, files, calls } of [few, lots]) {
      expect(calls).toBeGreaterThan(files);
      expect(calls).toBeLessThan(files + held * 20 + 1000);
    }
    expect(lots.calls / lots.files).toBeLessThan((few.calls / few.files) * 1.2);
  });

  test('of 5,000 takes about five times as long as of 1,000', () => {
    const cost = (files: number) => {
      using all = many(files);
      const times = Array.from({ length: 7 }, () => {
        const before = process.cpuUsage();
        expect(list({ directory: all.directory })).toHaveLength(all.held.length);
        const { user, system } = process.cpuUsage(before);
        return (user + system) / files;
      });
      return Math.min(...times);
    };
    const few = cost(1000);
    const lots = cost(5000);
    expect(lots).toBeLessThan(few * 3);
  });
});

describe('asking', () => {
  test.for([['list'], ['check', 'mine'], ['check', 'free']])(
    '%j opens nothing for writing, no free lock, and tries no lock',
    async (command, context) => {
      requireProgram(context, 'strace');
      requireWholeTable(context);
      const directory = freshDirectory();
      using _held = lockSync('mine', { directory });
      lockSync('free', { directory }).release();
      const { calls: all } = await trace([CLI, ...command, '--directory', directory]);
      const kinds = /\b(?:open|creat|flock|fcntl|unlink|rename|truncate|ftruncate)/;
      const calls = all.filter((call) => kinds.test(call));
      const files = calls.filter((call) => call.includes(directory) || call.includes('"/proc/'));
      expect(files.some((call) => call.includes('/proc/locks'))).toBe(true);
      for (const call of files) expect(call).toMatch(/openat\(AT_FDCWD, "[^"]+", O_RDONLY|O_PATH/);
      const opened = calls.filter((call) => call.includes('.lock"'));
      for (const call of opened) expect(call).toContain('mine.lock"');
      expect(opened.length).toBeLessThanOrEqual(2);
      expect(
        calls.filter((call) => /\bflock\(|F_OFD|F_SETLK|truncate|unlink|rename/.test(call)),
      ).toEqual([]);
    },
  );

  /** A process that lists and checks without a pause until it is killed. */
  async function asker(directory: string, names: string[]): Promise<void> {
    const script = `
      import { checkRunning, inspect, list } from '${LIBRARY}';
      const options = { directory: ${JSON.stringify(directory)} };
      const names = ${JSON.stringify(names)};
      console.log('asking');
      for (let i = 0; ; i++) {
        list(options);
        checkRunning(names[i % names.length], options);
        inspect(names[(i * 7) % names.length], options);
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }`;
    await start(process.execPath, ['--input-type=module', '-e', script]).says('asking');
  }

  test('beside 50 processes that start at once refuses none of them', {
    timeout: 120_000,
  }, async () => {
    const directory = freshDirectory();
    const names = Array.from({ length: 50 }, (_, index) => `own${index}`);
    await asker(directory, names);
    const at = ['--directory', directory];
    const ends = await Promise.all(
      names.map((name) => run(process.execPath, [CLI, 'run', name, ...at, '--', 'true'])),
    );
    expect(ends.filter(({ status }) => status !== 0)).toEqual([]);
  });

  test('beside processes that take turns refuses none of them', {
    timeout: 120_000,
  }, async () => {
    const directory = freshDirectory();
    await asker(directory, ['turn']);
    const at = ['--directory', directory];
    const statuses: unknown[] = [];
    for (let turn = 0; turn < 20; turn++) {
      const { status } = await run(process.execPath, [CLI, 'run', 'turn', ...at, '--', 'true']);
      statuses.push(status);
    }
    expect(statuses).toEqual(statuses.map(() => 0));
  });

  test('beside 50 processes that come and go without end refuses none of them', {
    timeout: 120_000,
  }, async () => {
    const directory = freshDirectory();
    const names = Array.from({ length: 50 }, (_, index) => `own${index}`);
    await asker(directory, names);
    const actors = await Promise.all(names.map(() => Actor.start()));
    const refused = await Promise.all(
      actors.map((actor, index) => actor.ask<number>('churn', names[index], { directory }, 200)),
    );
    expect(refused).toEqual(refused.map(() => 0));
  });

  // There the table leaves out who is outside, and asking has to try: starters shrug that off.
  test('in a PID namespace refuses no starter either', { timeout: 120_000 }, async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const directory = freshDirectory();
    const script = `
      import { spawn } from 'node:child_process';
      import { tryLock } from '${LIBRARY}';
      const options = { directory: ${JSON.stringify(directory)} };
      const asker = spawn(process.execPath, ['--input-type=module', '-e', process.argv[1]]);
      asker.stdout.once('data', () => {
        let refused = 0;
        for (let i = 0; i < 3000; i++) {
          const held = tryLock('bot', options);
          if (held === null) refused++;
          else held.release();
        }
        console.log('refused ' + refused);
        asker.kill('SIGKILL');
      });`;
    const asking = `
      import { checkRunning, list } from '${LIBRARY}';
      const options = { directory: ${JSON.stringify(directory)} };
      console.log('asking');
      for (;;) { checkRunning('bot', options); list(options); }`;
    const words = [process.execPath, '--input-type=module', '-e', script, asking];
    const end = await run('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', ...words]);
    expect(end).toMatchObject({ status: 0, stdout: 'refused 0\n' });
  });

  // One who asks there may be kept from running while it tries the lock: starters outside wait for that.
  test('in a PID namespace is seen outside of it to try, and refuses no starter there', async (context) => {
    requireRoot(context);
    requireWholeTable(context);
    for (const program of ['unshare', 'strace']) requireProgram(context, program);
    const directory = freshDirectory();
    const path = lockPath('bot', { directory });
    lockSync('bot', { directory }).release();
    const { ino } = statSync(path);
    const write = new RegExp(` WRITE \\d+ \\S+:${ino} `);
    const script = `
      import { checkRunning } from '${LIBRARY}';
      checkRunning('bot', { directory: ${JSON.stringify(directory)} });`;
    // The third one gives the lock back.
    const quiet = ['-f', '-qq', '-o', '/dev/null', '-P', path];
    const slowly = ['-e', 'trace=flock', '-e', 'inject=flock:delay_enter=1000000:when=3'];
    const inside = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const node = [process.execPath, '--input-type=module', '-e', script];
    const asker = start('strace', [...quiet, ...slowly, ...inside, ...node]);
    const locks = () => readFileSync('/proc/locks', 'utf8');
    await expect.poll(locks, { interval: 1 }).toMatch(write);
    const { tried, holders } = new LockTable().locksOn(path);
    expect({ tried, elsewhere: holders.map((one) => one.elsewhere) }).toEqual({
      tried: true,
      elsewhere: [true],
    });
    const held = tryLock('bot', { directory });
    expect(held).not.toBeNull();
    held?.release();
    expect(await asker.finished).toMatchObject({ status: 0, stderr: '' });
  });
});
