// What holds between processes: real ones, in real races.
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspect, lockPath, lockSync, tryLock } from '../dist/index.js';
import { Actor } from './support/actor.js';
import { AS_NOBODY, NOBODY, requireProgram, requireSecondUser } from './support/requires.js';
import { run, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

describe('exactly one process', () => {
  // A starter is as cheap as can be, so that fifty of them really meet: it gets ready, is let go
  // by the end of its standard input together with all others, tries once and says how it went.
  const starter = (directory: string) => `
    import { readSync } from 'node:fs';
    import { tryLock } from '${new URL('../dist/index.js', import.meta.url)}';
    console.log('ready');
    for (let round = 0; round < 20; round++) {
      readSync(0, Buffer.alloc(1));
      const held = tryLock('race' + round, { directory: ${JSON.stringify(directory)} });
      console.log(round + (held === null ? ':lost' : ':won'));
    }
    readSync(0, Buffer.alloc(1)); // holds until all have tried`;

  test('of fifty that start at once, in each of 20 rounds', { timeout: 90_000 }, async () => {
    const program = starter(freshDirectory());
    const starters = Array.from({ length: 50 }, () =>
      start(process.execPath, ['--input-type=module', '-e', program], { stdio: 'pipe' }),
    );
    await Promise.all(starters.map((one) => one.says('ready')));
    for (let round = 0; round < 20; round++) {
      for (const one of starters) one.child.stdin?.write('.');
      const results = await Promise.all(
        starters.map((one) =>
          Promise.any([
            one.says(`${round}:won`).then(() => 'won'),
            one.says(`${round}:lost`).then(() => 'lost'),
          ]),
        ),
      );
      expect(results.filter((result) => result === 'won')).toHaveLength(1);
    }
    for (const one of starters) one.child.stdin?.end();
  });

  test('whatever directory and environment it was started in', async () => {
    const name = freshName();
    const worlds = ['one', 'two'].map((label) => {
      const home = freshDirectory(label);
      return {
        cwd: home,
        env: { PATH: process.env.PATH, HOME: home, TMPDIR: home, XDG_STATE_HOME: home },
      };
    });
    const [first, second] = await Promise.all(worlds.map((world) => Actor.start(world)));
    await first?.lockSync(name);
    await expect(second?.lockSync(name)).rejects.toMatchObject({
      code: 'LOCK_HELD',
      holder: { pid: first?.pid },
    });
  });
});

describe('the kernel drops the lock', () => {
  test('when the holder is killed: the next one gets it in the same instant', async () => {
    const options = { directory: freshDirectory() };
    for (let round = 0; round < 5; round++) {
      const holder = await Actor.start();
      await holder.lockSync('bot', options);
      expect(tryLock('bot', options)).toBeNull();
      await holder.kill();
      const next = tryLock('bot', options); // one attempt, no grace
      expect(next).not.toBeNull();
      next?.release();
    }
  });

  test('of a waiter that is killed without anybody noticing it', async () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', options);
    const [first, second] = await Promise.all([Actor.start(), Actor.start()]);
    first.tell('lockLater', 'got it', 'bot', { ...options, wait: true });
    await waitUntil(() => inspect('bot', options).waiters === 1);
    second.tell('lockLater', 'got it', 'bot', { ...options, wait: true });
    await waitUntil(() => inspect('bot', options).waiters === 2);
    await first.kill();
    held.release();
    expect(await second.event('got it')).toMatchObject({ value: expect.any(Number) });
  });

  test('when the holder calls process.exit while it waits for another', async () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('other', options);
    const actor = await Actor.start();
    await actor.lockSync('bot', options);
    actor.tell('lockLater', 'never', 'other', { ...options, wait: true });
    await waitUntil(() => inspect('other', options).waiters === 1);
    actor.tell('exit', 7);
    expect(await actor.ended).toBe(7);
    expect(inspect('bot', options).held).toBe(false);
    expect(inspect('other', options).waiters).toBe(0);
    held.release();
  });

  test('although a child of the holder lives on', async () => {
    const options = { directory: freshDirectory() };
    const holder = await Actor.start();
    await holder.lockSync('bot', options);
    const survivor = await holder.ask<number>('spawnSurvivor');
    try {
      await holder.kill();
      const next = tryLock('bot', options);
      expect(next).not.toBeNull();
      next?.release();
      process.kill(survivor, 0); // it does live on
    } finally {
      process.kill(survivor, 'SIGKILL');
    }
  });
});

describe('waiting between processes', () => {
  test('is first in, first out', async () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', options);
    const actors = await Promise.all(Array.from({ length: 5 }, () => Actor.start()));
    for (const [place, actor] of actors.entries()) {
      actor.tell('lockLater', 'turn', 'bot', { ...options, wait: true });
      await waitUntil(() => inspect('bot', options).waiters === place + 1);
    }
    held.release();
    for (const [place, actor] of actors.entries()) {
      const { value } = await actor.event('turn');
      expect(inspect('bot', options).holders.map(({ pid }) => pid)).toEqual([actor.pid]);
      expect(inspect('bot', options).waiters).toBe(actors.length - place - 1);
      await actor.release(value as number);
    }
  });

  test('can be cancelled, and what was held goes to the next', async () => {
    const options = { directory: freshDirectory() };
    const held = lockSync('bot', options);
    const [first, second] = await Promise.all([Actor.start(), Actor.start()]);
    first.tell('lockLater', 'first', 'bot', { ...options, wait: true });
    await waitUntil(() => inspect('bot', options).waiters === 1);
    second.tell('lockLater', 'second', 'bot', { ...options, wait: true });
    await waitUntil(() => inspect('bot', options).waiters === 2);
    first.tell('abort', 'first');
    expect(await first.event('first')).toMatchObject({ error: { name: 'AbortError' } });
    await waitUntil(() => inspect('bot', options).waiters === 1);
    held.release();
    expect(await second.event('second')).toMatchObject({ value: expect.any(Number) });
  });
});

describe('with flock(1) of util-linux', () => {
  test('each keeps the other out', async (context) => {
    requireProgram(context, 'flock');
    const options = { directory: freshDirectory() };
    const path = lockPath('bot', options);
    const held = lockSync('bot', options);
    expect((await run('flock', ['-n', path, 'true'])).status).toBe(1);
    held.release();
    const program = start('flock', ['-F', path, 'sh', '-c', 'echo locked; exec sleep 60']);
    await program.says('locked');
    const refusal = await Promise.resolve()
      .then(() => lockSync('bot', options))
      .catch((error) => error);
    expect(refusal).toMatchObject({
      code: 'LOCK_HELD',
      holder: { source: 'kernel', acquiredAt: undefined },
    });
    expect(inspect('bot', options).holders.map(({ pid }) => pid)).toEqual([program.pid]);
  });
});

describe('a second user', () => {
  test('and the first exclude each other, both ways', async (context) => {
    requireSecondUser(context);
    const name = freshName();
    const other = await Actor.start({ prefix: AS_NOBODY });

    const held = lockSync(name); // creates the file: root's, which the other can only read
    expect(await other.tryLock(name)).toBeNull();
    await expect(other.lockSync(name)).rejects.toMatchObject({
      code: 'LOCK_HELD',
      holder: { pid: process.pid },
    });
    held.release();
    const id = (await other.tryLock(name)) as number;
    expect(id).not.toBeNull();
    expect(tryLock(name)).toBeNull();
    expect(inspect(name).holders[0]).toMatchObject({ pid: other.pid, user: 'nobody' });
    await other.release(id);

    const theirs = freshName(); // and the other way: the other's file, in a sticky directory
    const second = (await other.tryLock(theirs)) as number;
    expect(statSync(lockPath(theirs)).uid).toBe(NOBODY);
    expect(tryLock(theirs)).toBeNull();
    await other.release(second);
    tryLock(theirs)?.release();
  });

  test('who creates the file under a strict umask locks nobody out', async (context) => {
    requireSecondUser(context);
    const directory = freshDirectory();
    chmodSync(directory, 0o777);
    const strict = await Actor.start({ prefix: ['sh', '-c', 'umask 077; exec "$0" "$@"'] });
    await strict.lockSync('bot', { directory });
    expect(statSync(join(directory, 'bot.lock')).mode & 0o7777).toBe(0o1644);
    const other = await Actor.start({ prefix: AS_NOBODY });
    await expect(other.lockSync('bot', { directory })).rejects.toMatchObject({ code: 'LOCK_HELD' });
  });

  test('who creates it under a strict umask locks nobody out, in the instant of creation either', async (context) => {
    requireSecondUser(context);
    requireProgram(context, 'strace');
    const directory = freshDirectory();
    chmodSync(directory, 0o777);
    const library = new URL('../dist/index.js', import.meta.url).href;
    const code = `import { existsSync } from 'node:fs'; import { lockPath, tryLock } from '${library}';
      const options = { directory: '${directory}' };
      try { tryLock('warm', options)?.release(); } catch {}
      console.log('ready');
      while (!existsSync(lockPath('bot', options)));
      console.log(tryLock('bot', options) === null ? 'held' : 'free');`;
    const [command, ...prefix] = AS_NOBODY as [string, ...string[]];
    const node = [process.execPath, '--input-type=module', '-e', code];
    const other = start(command, [...prefix, ...node]);
    await other.says('ready\n');
    // The file is there for 20 milliseconds before others may read it.
    const slow = ['trace=fchmod', 'inject=fchmod:delay_enter=20000'].flatMap((it) => ['-e', it]);
    const strict = await Actor.start({
      prefix: [
        ...['sh', '-c', 'umask 077; exec "$0" "$@"'],
        ...['strace', '-f', '-qq', '-o', '/dev/null', ...slow],
      ],
    });
    await strict.lockSync('bot', { directory });
    const { stdout, stderr } = await other.finished;
    expect({ stdout, stderr }).toEqual({
      stdout: expect.stringMatching(/^ready\n(held|free)\n$/),
      stderr: '',
    });
  });

  test('may not read a file of their own making: LOCK_PERMISSION', async (context) => {
    requireSecondUser(context);
    const directory = freshDirectory();
    writeFileSync(join(directory, 'bot.lock'), '', { mode: 0o600 });
    const other = await Actor.start({ prefix: AS_NOBODY });
    await expect(other.lockSync('bot', { directory })).rejects.toMatchObject({
      code: 'LOCK_PERMISSION',
      syscall: 'open',
      errno: 13,
    });
  });
});

async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
