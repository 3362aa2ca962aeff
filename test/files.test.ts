// What may stand at a lock's path, and what may happen to it.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  checkRunning,
  inspect,
  killRunning,
  LockPathError,
  list,
  lock,
  lockPath,
  lockSync,
  tryLock,
} from '../dist/index.js';
import { Actor } from './support/actor.js';
import { AS_NOBODY, requireProgram, requireRoot, requireSecondUser } from './support/requires.js';
import { cli, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

function refusal(directory: string, wait: boolean | number = false): unknown {
  try {
    lockSync('bot', { directory, wait }).release();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('something else in the place of the lock file is refused and left alone', () => {
  const cases: Record<string, (path: string) => void | Promise<void>> = {
    'a symlink to nothing': (path) => symlinkSync('/nonexistent/target', path),
    'a symlink to a file': (path) => {
      writeFileSync(`${path}.target`, 'precious');
      symlinkSync(`${path}.target`, path);
    },
    'a symlink to /dev/null': (path) => symlinkSync('/dev/null', path),
    'a FIFO': (path) => void spawnSync('mkfifo', [path]),
    'a directory': (path) => void mkdirSync(path),
    'a second link to a file': (path) => {
      writeFileSync(`${path}.target`, 'precious');
      linkSync(`${path}.target`, path);
    },
    'a socket': async (path) => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(path, resolve));
      onTestFinished(() => new Promise((resolve) => server.close(() => resolve())));
    },
  };

  test.each(Object.keys(cases))('%s', async (label) => {
    const directory = freshDirectory();
    const path = join(directory, 'bot.lock');
    await cases[label]?.(path);
    const before = lstatSync(path);
    const error = refusal(directory);
    expect(error).toBeInstanceOf(LockPathError);
    expect(error).toMatchObject({ code: 'LOCK_UNSAFE_PATH', path });
    expect(lstatSync(path).ino).toBe(before.ino);
    expect(lstatSync(path).mode).toBe(before.mode);
    if (existsSync(`${path}.target`))
      expect(readFileSync(`${path}.target`, 'utf8')).toBe('precious');
    const kind = /^a (symlink|FIFO|directory|socket)/.exec(label)?.[0];
    expectUnknown(directory, kind?.replace('symlink', 'symbolic link'));
  });

  // Who follows the link finds that file locked.
  test('a symlink to a file that somebody holds, with and without a wait', async (context) => {
    requireProgram(context, 'flock');
    const directory = freshDirectory();
    const target = join(directory, 'target');
    symlinkSync(target, join(directory, 'bot.lock'));
    const holder = start('flock', ['-F', target, 'sh', '-c', 'echo locked; exec sleep 60']);
    await holder.says('locked');
    expect(refusal(directory)).toMatchObject({ code: 'LOCK_UNSAFE_PATH' });
    expect(refusal(directory, 50)).toMatchObject({ code: 'LOCK_UNSAFE_PATH' });
    expect(inspect('bot', { directory }).held).toBe(false);
  });

  test('a device', (context) => {
    requireRoot(context);
    const directory = freshDirectory();
    spawnSync('mknod', [join(directory, 'bot.lock'), 'c', '1', '3']);
    expect(refusal(directory)).toMatchObject({ code: 'LOCK_UNSAFE_PATH' });
    expectUnknown(directory, 'a device');
  });

  /** `kind`: what is told to be there; a regular file is a lock file, whatever its links. */
  function expectUnknown(directory: string, kind: string | undefined): void {
    const reason = `${kind} stands in the place of its lock file`;
    const unknown = kind === undefined ? [] : [expect.stringContaining(reason)];
    expect(inspect('bot', { directory })).toMatchObject({ held: false, holders: [], unknown });
    expect(checkRunning('bot', { directory })).toBe(false);
    expect(list({ directory })).toEqual([]);
  }

  test('who asks on the command line is told', async () => {
    const directory = freshDirectory();
    mkdirSync(join(directory, 'bot.lock'));
    for (const command of ['check', 'kill']) {
      const { status, stdout } = await cli(command, 'bot', '--directory', directory);
      expect(stdout).toMatch(
        /^Application 'bot': UNKNOWN\n❔ Whether it is running is not known: a directory stands .*\n$/,
      );
      expect(status).toBe(1);
      const asked = await cli(command, 'bot', '--json', '--directory', directory);
      expect(JSON.parse(asked.stdout)).toMatchObject({
        unknown: [expect.stringContaining('a directory')],
      });
    }
  });

  test('nobody goes on who waits for it on the command line', async () => {
    const directory = freshDirectory();
    mkdirSync(join(directory, 'bot.lock'));
    const { status, stdout, stderr } = await cli('wait', 'bot', '--directory', directory);
    expect({ status, stdout }).toEqual({ status: 73, stdout: '' });
    expect(stderr).toMatch(/^kernel-lock: .*bot\.lock is not a plain lock file/);
    const asked = await cli('wait', 'bot', '--json', '--directory', directory);
    expect(asked).toMatchObject({ status: 73, stdout: '' });
    expect(JSON.parse(asked.stderr)).toMatchObject({ error: { code: 'LOCK_UNSAFE_PATH' } });
  });

  test('and whoever has locked it is not killed', async (context) => {
    requireProgram(context, 'flock');
    const directory = freshDirectory();
    const path = join(directory, 'bot.lock');
    mkdirSync(path);
    const words = [path, 'sh', '-c', 'echo on; read line'];
    const { child, says, finished } = start('flock', words, { stdio: ['pipe', 'pipe', 'pipe'] });
    await says('on');
    expectUnknown(directory, 'a directory');
    expect(await killRunning('bot', { directory, force: true })).toBe(false);
    child.stdin?.end('\n');
    expect((await finished).status).toBe(0);
  });
});

describe('a directory that can not be used', () => {
  test('because it is not there: LOCK_PERMISSION, and it is not made', () => {
    const directory = join(freshDirectory(), 'missing');
    expect(refusal(directory)).toMatchObject({
      code: 'LOCK_PERMISSION',
      syscall: 'open',
      errno: 2,
    });
    expect(existsSync(directory)).toBe(false);
  });

  test('because it is a file', () => {
    const directory = join(freshDirectory(), 'file');
    writeFileSync(directory, '');
    expect(refusal(directory)).toMatchObject({ code: 'LOCK_PERMISSION', errno: 20 });
  });

  test('because it is read-only', async (context) => {
    requireSecondUser(context);
    const directory = freshDirectory();
    chmodSync(directory, 0o555);
    const other = await Actor.start({ prefix: AS_NOBODY });
    await expect(other.lockSync('bot', { directory })).rejects.toMatchObject({
      code: 'LOCK_PERMISSION',
    });
    expect(existsSync(join(directory, 'bot.lock'))).toBe(false);
  });
});

describe('the lock file is replaced', () => {
  test.each(['unlinked', 'renamed', 'replaced'])(
    '%s while others wait: nobody holds the old one',
    async (how) => {
      const options = { directory: freshDirectory() };
      const path = lockPath('bot', options);
      const held = lockSync('bot', options);
      const waiters = await Promise.all([Actor.start(), Actor.start()]);
      for (const [index, waiter] of waiters.entries()) {
        waiter.tell('lockLater', 'turn', 'bot', { ...options, wait: true });
        await waitUntil(() => inspect('bot', options).waiters === index + 1);
      }
      if (how === 'unlinked') rmSync(path);
      if (how === 'renamed') renameSync(path, `${path}.old`);
      if (how === 'replaced') {
        writeFileSync(`${path}.new`, '');
        renameSync(`${path}.new`, path);
      }
      // Somebody may hold the new file by now; the waiters have to queue there.
      const usurper = lockSync('bot', options);
      held.release();
      await waitUntil(() => inspect('bot', options).waiters === 2);
      usurper.release();
      const first = await Promise.race(
        waiters.map(async (waiter) => ({ waiter, ...(await waiter.event('turn')) })),
      );
      expect(inspect('bot', options).holders.map(({ pid }) => pid)).toEqual([first.waiter.pid]);
      expect(tryLock('bot', options)).toBeNull();
    },
  );

  test('a wait whose time is up gets no new one beside the holder of the old one', async () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', options);
    const waiting = lock('bot', { ...options, wait: 50 });
    await waitUntil(() => inspect('bot', options).waiters === 1);
    rmSync(lockPath('bot', options));
    await expect(waiting).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    held.release();
  });
});

describe('a file that is changed while others wait for its lock', () => {
  test('is left as it is by then: what is in it, and who may read it', async (context) => {
    requireProgram(context, 'flock');
    const options = { directory: freshDirectory() };
    const path = lockPath('bot', options);
    const holder = start('flock', [path, 'sh', '-c', 'echo held; cat'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await holder.says('held\n');
    const waiting = lock('bot', { ...options, wait: true });
    await waitUntil(() => inspect('bot', options).waiters === 1);
    writeFileSync(path, 'batch 17 of 40');
    chmodSync(path, 0o600);
    holder.child.stdin?.end();
    (await waiting).release();
    expect(readFileSync(path, 'utf8')).toBe('batch 17 of 40');
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  test('takes the record of who gets it where it was emptied', async (context) => {
    requireProgram(context, 'flock');
    const options = { directory: freshDirectory() };
    const path = lockPath('bot', options);
    writeFileSync(path, 'batch 40 of 40');
    const holder = start('flock', [path, 'sh', '-c', 'echo held; cat'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    await holder.says('held\n');
    const waiting = lock('bot', { ...options, wait: true });
    await waitUntil(() => inspect('bot', options).waiters === 1);
    truncateSync(path);
    holder.child.stdin?.end();
    const mine = await waiting;
    expect(inspect('bot', options).holders[0]).toMatchObject({
      pid: process.pid,
      source: 'kernel',
    });
    expect(readFileSync(path, 'utf8')).toContain(`"pid":${process.pid},`);
    mine.release();
  });
});

describe('a file whose maker was killed before others could read it', () => {
  test('can be read by all from the next acquisition on', async (context) => {
    requireProgram(context, 'strace');
    const options = { directory: freshDirectory() };
    const path = lockPath('bot', options);
    const program = `
      process.umask(0o077);
      (await import('${new URL('../dist/index.js', import.meta.url)}')).lockSync('bot', { directory: ${JSON.stringify(options.directory)} });`;
    const kill = ['-e', 'trace=fchmod', '-e', 'inject=fchmod:signal=SIGKILL:when=1'];
    const node = [process.execPath, '--input-type=module', '-e', program];
    const end = await start('strace', ['-f', '-qq', '-o', '/dev/null', ...kill, ...node]).finished;
    expect(end.status).toBe('SIGKILL');
    expect(statSync(path).mode & 0o7777).toBe(0o1600);
    lockSync('bot', options).release();
    expect(statSync(path).mode & 0o7777).toBe(0o1644);
    // What its owner has set stays.
    chmodSync(path, 0o600);
    lockSync('bot', options).release();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    truncateSync(path);
    chmodSync(path, 0o1660);
    lockSync('bot', options).release();
    expect(statSync(path).mode & 0o7777).toBe(0o1660);
  });
});

describe('the record', () => {
  test('is a space, one JSON object and padding, of a fixed size', () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', { ...options, metadata: { mode: 'production' } });
    const text = readFileSync(held.path, 'utf8');
    expect(text).toHaveLength(4096);
    expect(text[0]).toBe(' ');
    expect(JSON.parse(text.slice(1))).toMatchObject({
      version: 1,
      pid: process.pid,
      startToken: expect.stringMatching(/^[0-9a-f-]{36}:\d+$/),
      acquiredAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      executable: process.execPath,
      argv: expect.any(Array),
      cwd: process.cwd(),
      user: expect.any(String),
      hostname: expect.any(String),
      metadata: { mode: 'production' },
    });
    expect(Math.abs(Date.parse(JSON.parse(text.slice(1)).acquiredAt) - Date.now())).toBeLessThan(
      10_000,
    );
    held.release();
    lockSync('bot', options).release();
    expect(JSON.parse(readFileSync(held.path, 'utf8'))).not.toHaveProperty('metadata');
  });

  test('fits, however long the command line and the metadata are', async () => {
    const options = { directory: freshDirectory() };
    const deep = join(freshDirectory(), ...Array.from({ length: 15 }, () => 'ä'.repeat(100)));
    mkdirSync(deep, { recursive: true });
    const long = Array.from(
      { length: 400 },
      (_, index) => `--argument-${index}=\u0001${'"'.repeat(50)}`,
    );
    const actor = await Actor.start({
      cwd: deep,
      prefix: ['sh', '-c', 'exec "$0" "$@" "$LONG"'],
      env: { ...process.env, LONG: long.join(' ') },
    });
    await actor.lockSync('bot', { ...options, metadata: 'm'.repeat(1000) });
    const text = readFileSync(lockPath('bot', options), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ pid: actor.pid, metadata: 'm'.repeat(1000) });
  });

  const records: Record<string, string | Buffer> = {
    empty: '',
    torn: ' {"version":1,"pid":12',
    'of 10 MB': Buffer.alloc(10 * 1024 * 1024, 0x7b),
    binary: Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256)),
    'full of escape codes':
      ' {"pid":1,"argv":["\\u001b[2J\\u001b]0;x\\u0007"],"user":"\\u009b31m"}',
    'of the wrong types': ' {"pid":"1","argv":{},"cwd":7,"startToken":[],"acquiredAt":true}',
    'an array': ' []',
    null: ' null',
    'with a huge pid': ' {"pid":1e300}',
    'with a negative pid': ' {"pid":-1}',
    'deeply nested': `${' {"metadata":'.padEnd(12)}${'['.repeat(2000)}`,
  };

  test.each(Object.keys(records))('%s breaks nothing', (label) => {
    const options = { directory: freshDirectory() };
    const path = lockPath('bot', options);
    writeFileSync(path, records[label] as string | Buffer);
    expect(inspect('bot', options)).toMatchObject({ held: false });
    const held = lockSync('bot', options);
    writeFileSync(path, records[label] as string | Buffer, { flag: 'r+' });
    const status = inspect('bot', options);
    expect(status).toMatchObject({ held: true, holders: [{ pid: process.pid, source: 'kernel' }] });
    expect(list(options)).toHaveLength(1);
    held.release();
  });

  test('of an earlier holder is never shown as the present one', async (context) => {
    requireProgram(context, 'flock');
    const options = { directory: freshDirectory() };
    const earlier = await Actor.start();
    await earlier.lockSync('bot', { ...options, metadata: 'earlier' });
    await earlier.kill();
    const path = lockPath('bot', options);
    const record = JSON.parse(readFileSync(path, 'utf8'));
    expect(record.pid).toBe(earlier.pid);
    const held = lockSync('bot', options);
    writeFileSync(path, ` ${JSON.stringify({ ...record, pid: process.pid })}`, { flag: 'r+' });
    expect(inspect('bot', options).holders).toEqual([
      expect.objectContaining({ pid: process.pid, metadata: undefined, acquiredAt: undefined }),
    ]);
    held.release();
  });
});

describe('a full disk', () => {
  test('takes no lock away: the record is missing, the lock is held', (context) => {
    requireRoot(context);
    const directory = freshDirectory('full');
    const mounted = spawnSync('mount', [
      '-t',
      'tmpfs',
      '-o',
      'size=16k,mode=777',
      'tmpfs',
      directory,
    ]);
    if (mounted.status !== 0) {
      console.warn('not run: a full disk: this machine mounts no tmpfs');
      return context.skip('this machine mounts no tmpfs');
    }
    onTestFinished(() => void spawnSync('umount', [directory]));
    expect(() => writeFileSync(join(directory, 'filler'), Buffer.alloc(64 * 1024))).toThrow(
      'ENOSPC',
    );
    const held = lockSync('bot', { directory });
    expect(statSync(held.path).size).toBe(0);
    expect(tryLock('bot', { directory })).toBeNull();
    expect(inspect('bot', { directory })).toMatchObject({
      held: true,
      holders: [{ pid: process.pid }],
    });
    held.release();
  });
});

describe('a cleaner of old files', () => {
  test('systemd-tmpfiles leaves an aged lock file alone, held or not', async (context) => {
    requireProgram(context, 'systemd-tmpfiles');
    requireRoot(context);
    const directory = freshDirectory('aged');
    const held = await lock('held', { directory });
    (await lock('free', { directory })).release();
    writeFileSync(join(directory, 'control'), '');
    // A foreign file without the sticky bit gets it from its owner's first acquisition.
    writeFileSync(join(directory, 'foreign.lock'), '');
    (await lock('foreign', { directory })).release();
    const old = new Date('2001-01-01');
    for (const file of ['held.lock', 'free.lock', 'control', 'foreign.lock'])
      utimesSync(join(directory, file), old, old);
    // The change time can't be set back, so the cleaner is told to go by the others.
    const configuration = join(freshDirectory(), 'test.conf');
    writeFileSync(configuration, `d ${directory} 0755 - - am:1d\n`);
    const { status, stderr } = spawnSync('systemd-tmpfiles', ['--clean', configuration], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(existsSync(join(directory, 'control'))).toBe(false);
    for (const file of ['held.lock', 'free.lock', 'foreign.lock']) {
      expect(existsSync(join(directory, file)), file).toBe(true);
    }
    held.release();
  });
});

async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
