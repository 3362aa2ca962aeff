// Ending the holder: that one, that very process, and nobody else.
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  checkRunning,
  inspect,
  killRunning,
  type LockOptions,
  type LockStatus,
  lockPath,
  lockSync,
} from '../dist/index.js';
import { startToken } from '../src/linux.js';
import { Actor } from './support/actor.js';
import { reap } from './support/known.js';
import { AS_NOBODY, requireProgram, requireSecondUser } from './support/requires.js';
import { CLI, isAlive, run, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const POLL = { timeout: 10_000, interval: 10 };

const here = () => ({ directory: freshDirectory() });

async function holder(name: string, options: LockOptions, prefix: string[] = []): Promise<Actor> {
  const actor = await Actor.start({ prefix });
  await actor.lock(name, options);
  return actor;
}

/** A shell script that holds the lock; it says `ready` when it does. Its stdin is a pipe. */
async function script(directory: string, text: string, flags: string[] = []) {
  const args = [CLI, 'run', 'bot', '--directory', directory, ...flags, '--', 'sh', '-c', text];
  // A child that survives must not keep the pipe of stderr open.
  const running = start(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  await running.says('ready\n');
  return running;
}

const IGNORING = `trap '' TERM; echo ready; read x`;
/** Says `asked` when it gets SIGTERM, and goes on for as long as it is wanted. */
const slow = (wanted: string) => `'${process.execPath}' -e "
  process.on('SIGTERM', () => console.log('asked'));
  ${wanted};
  console.log('ready')"`;
const SLOW = `exec ${slow(`process.stdin.once('data', () => process.exit())`)}`;

/** Writes the record in the lock file by hand, as any user of the file could. */
function forgeRecord(path: string, changes: Record<string, unknown>): void {
  const record = { ...JSON.parse(readFileSync(path, 'utf8')), ...changes };
  writeFileSync(path, ` ${JSON.stringify(record)}`.padEnd(4096));
}

describe('killRunning', () => {
  test('asks the holder with SIGTERM, and resolves to true when the lock is free', async () => {
    const options = here();
    const actor = await holder('bot', options);
    expect(await killRunning('bot', options)).toBe(true);
    expect(checkRunning('bot', options)).toBe(false);
    expect(await actor.ended).toBe('SIGTERM');
  });

  test('with force ends it by SIGKILL', async () => {
    const options = here();
    const actor = await holder('bot', options);
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    expect(await actor.ended).toBe('SIGKILL');
  });

  test('resolves to false when nobody holds, and creates nothing', async () => {
    const options = here();
    expect(await killRunning('bot', options)).toBe(false);
    expect(readdirSync(options.directory)).toEqual([]);
    lockSync('bot', options).release();
    expect(await killRunning('bot', { ...options, force: true })).toBe(false);
  });

  test('asks an orphan of one reader also while another reader lives and does not obey', async () => {
    const options = here();
    const path = lockPath('bot', options);
    const parent = await run('bash', [
      '-c',
      `exec 9<>'${path}'; flock -s 9; exec sleep 60 >/dev/null 2>&1 & echo $!`,
    ]);
    const orphan = reap(Number(parent.stdout));
    // It forks before it holds, and is that program only afterwards.
    const first = () => inspect('bot', options).holders[0]?.argv;
    await expect.poll(first, POLL).toEqual(['sleep', '60']);
    const { pid, child } = await script(options.directory, IGNORING, ['--shared']);
    let settled = false;
    const killing = killRunning('bot', { ...options, timeout: 20_000 }).finally(() => {
      settled = true;
    });
    await expect.poll(orphan.isAlive, POLL).toBe(false);
    expect({ settled, lives: isAlive(pid) }).toEqual({ settled: false, lives: true });
    // Who gives up now is told of the one that is left.
    const message = expect.stringMatching(`: PID ${pid} did not stop`);
    const given = killRunning('bot', { ...options, timeout: 0 });
    await expect(given).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', message });
    child.stdin?.end();
    expect(await killing).toBe(true);
  });

  test('waits until a holder that takes its time has let go', async () => {
    const options = here();
    const { child, finished, says } = await script(options.directory, SLOW);
    let settled = false;
    const killing = killRunning('bot', options).finally(() => {
      settled = true;
    });
    await says('asked\n');
    expect(settled).toBe(false);
    child.stdin?.write('go on\n');
    expect(await killing).toBe(true);
    expect(checkRunning('bot', options)).toBe(false);
    expect((await finished).stdout).toBe('ready\nasked\n'); // once
  });

  test('is content with a holder that lets go and lives on', async () => {
    const options = here();
    const program = `
      import { lockSync } from '${new URL('../dist/index.js', import.meta.url)}';
      const held = lockSync('bot', { directory: process.argv[1] });
      process.on('SIGTERM', () => held.release());
      process.stdin.resume();
      console.log('ready');`;
    const args = ['--input-type=module', '-e', program, options.directory];
    const stdio = ['pipe', 'pipe', 'pipe'] as ['pipe', 'pipe', 'pipe'];
    const { child, finished, says } = start(process.execPath, args, { stdio });
    await says('ready\n');
    expect(await killRunning('bot', options)).toBe(true);
    child.stdin?.end();
    expect((await finished).status).toBe(0);
  });

  test('rejects with LOCK_TIMEOUT when SIGTERM is ignored; force helps', async () => {
    const options = here();
    const { pid, finished } = await script(options.directory, IGNORING);
    await expect(killRunning('bot', { ...options, timeout: 100 })).rejects.toMatchObject({
      name: 'LockTimeoutError',
      code: 'LOCK_TIMEOUT',
      lockName: 'bot',
      path: lockPath('bot', options),
      message: expect.stringContaining('force'),
      holder: { pid },
    });
    expect(inspect('bot', options).holders).toMatchObject([{ pid }]);
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    expect((await finished).status).toBe('SIGKILL');
  });

  test('rejects with LOCK_TIMEOUT when the holder is stopped; force helps', async () => {
    const options = here();
    const actor = await holder('bot', options);
    actor.signal('SIGSTOP');
    await expect.poll(() => inspect('bot', options).holders[0]?.status, POLL).toBe('stopped');
    await expect(killRunning('bot', { ...options, timeout: 50 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
    });
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    await actor.ended;
  });

  test('rejects with LOCK_DEADLOCK when this process is the holder, and signals nobody', async () => {
    const options = { ...here(), shared: true };
    const { shared, ...location } = options;
    const other = await holder('bot', options);
    using held = lockSync('bot', options);
    for (const force of [false, true]) {
      await expect(killRunning('bot', { ...location, force })).rejects.toMatchObject({
        code: 'LOCK_DEADLOCK',
        lockName: 'bot',
      });
    }
    expect(held.held).toBe(true);
    expect((await other.inspect('bot', location)).holders).toHaveLength(2);
    expect(shared).toBe(true);
  });

  test('asks all readers of a shared lock', async () => {
    const options = here();
    const shared = { ...options, shared: true };
    const readers = await Promise.all([1, 2, 3].map(() => holder('bot', shared)));
    expect(await killRunning('bot', options)).toBe(true);
    expect(await Promise.all(readers.map(({ ended }) => ended))).toEqual(Array(3).fill('SIGTERM'));
    expect(checkRunning('bot', options)).toBe(false);
  });

  test.each([
    [{ force: 1 }, 'force'],
    [{ timeout: -1 }, 'timeout'],
    [{ timeout: Number.POSITIVE_INFINITY }, 'timeout'],
    [{ wait: true }, 'wait'],
    [{ shared: true }, 'shared'],
  ])('refuses the options %j and signals nobody', async (bad, option) => {
    const options = here();
    using held = lockSync('bot', options);
    await expect(killRunning('bot', { ...options, ...bad } as never)).rejects.toMatchObject({
      code: 'LOCK_INVALID_OPTION',
      message: expect.stringContaining(`'${option}'`),
    });
    expect(held.held).toBe(true);
  });
});

describe('a holder with children', () => {
  const childOf = (stdout: string) => Number(/^child (\d+)$/m.exec(stdout)?.[1]);

  test('is ended with the child that inherited the lock', async () => {
    const options = here();
    const { says, finished, pid } = await script(
      options.directory,
      'sleep 60 >/dev/null & echo "child $!"; echo ready; wait',
    );
    const child = reap(childOf(await says('ready\n')));
    const holders = inspect('bot', options).holders.map((holder) => holder.pid);
    expect(holders).toEqual([pid]);
    expect(await killRunning('bot', options)).toBe(true);
    expect((await finished).status).toBe('SIGTERM');
    expect(checkRunning('bot', options)).toBe(false);
    await expect.poll(child.isAlive, POLL).toBe(false); // the lock goes a moment before
  });

  test('that ignore SIGTERM is still running; force ends them too', async () => {
    const options = here();
    const says = `echo "child $$"; echo ready; exec sleep 60 >/dev/null`;
    const stubborn = `(trap '' TERM; exec sh -c '${says}') & wait`;
    const { finished, says: said } = await script(options.directory, stubborn);
    const child = reap(childOf(await said('ready\n')));
    await expect(killRunning('bot', { ...options, timeout: 200 })).rejects.toMatchObject({
      code: 'LOCK_TIMEOUT',
    });
    expect((await finished).status).toBe('SIGTERM');
    expect(inspect('bot', options).holders).toMatchObject([{ pid: child.pid }]);
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    await expect.poll(child.isAlive, POLL).toBe(false); // the lock goes a moment before
    expect(checkRunning('bot', options)).toBe(false);
  });

  test('that do not hold the lock: they are left alone', async () => {
    const options = here();
    const actor = await holder('bot', options);
    const survivor = reap(await actor.ask<number>('spawnSurvivor'));
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    await actor.ended;
    expect(survivor.isAlive()).toBe(true);
  });
});

describe('who acquires while a kill waits', () => {
  test('is left alone', async () => {
    const options = here();
    const { child, finished, says } = await script(options.directory, SLOW);
    const next = await Actor.start();
    next.tell('lockLater', 'granted', 'bot', { ...options, wait: true });
    await expect.poll(() => inspect('bot', options).waiters, POLL).toBe(1);
    const killing = killRunning('bot', options);
    await says('asked\n');
    child.stdin?.write('go on\n');
    await next.event('granted');
    expect(await killing).toBe(true);
    await finished;
    expect(inspect('bot', options).holders).toMatchObject([{ pid: next.pid }]);
    await next.ask('checks', 'bot', options, 1); // it answers
  });

  test('as another reader is left alone', async () => {
    const options = here();
    const { child, says } = await script(options.directory, SLOW, ['-s']);
    const killing = killRunning('bot', options);
    await says('asked\n');
    const next = await holder('bot', { ...options, shared: true });
    child.stdin?.write('go on\n');
    expect(await killing).toBe(true);
    expect(inspect('bot', options).holders).toMatchObject([{ pid: next.pid }]);
  });

  test('as another reader is left alone, also where the first reader was an orphan', async () => {
    const options = here();
    // The program ends at once; its child goes on holding, and takes its time.
    const orphan = `${slow('setInterval(() => {}, 60_000)')} &`;
    const { child, says } = await script(options.directory, orphan, ['-s']);
    await expect.poll(() => child.exitCode, POLL).toBe(0);
    const [first] = inspect('bot', options).holders;
    reap(first?.pid as number);
    const next = await Actor.start();
    const killing = killRunning('bot', { ...options, timeout: 500 }).catch(({ code }) => code);
    await says('asked\n');
    await next.lock('bot', { ...options, shared: true }); // the kill looks on all the while
    expect(await killing).toBe('LOCK_TIMEOUT');
    expect(isAlive(next.pid)).toBe(true);
  });
});

describe('a record is not believed:', () => {
  test('one that names a living stranger with its true start token', async () => {
    const options = here();
    const [actor, stranger] = [await holder('bot', options), await Actor.start()];
    forgeRecord(lockPath('bot', options), {
      pid: stranger.pid,
      startToken: startToken(stranger.pid),
    });
    expect(inspect('bot', options).holders).toMatchObject([{ pid: actor.pid }]);
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    expect(await actor.ended).toBe('SIGKILL');
    expect(await stranger.ask('checks', 'bot', options, 1)).toBe(0);
  });

  test('one whose pid was reused by a living stranger', async () => {
    const options = here();
    const [actor, stranger] = [await holder('bot', options), await Actor.start()];
    forgeRecord(lockPath('bot', options), { pid: stranger.pid });
    expect(inspect('bot', options).holders).toMatchObject([
      { pid: actor.pid, acquiredAt: undefined },
    ]);
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    expect(await actor.ended).toBe('SIGKILL');
    expect(await stranger.ask('checks', 'bot', options, 1)).toBe(0);
  });

  test('one that was left behind, when nobody holds', async () => {
    const options = here();
    const stranger = await Actor.start();
    lockSync('bot', options).release();
    forgeRecord(lockPath('bot', options), {
      pid: stranger.pid,
      startToken: startToken(stranger.pid),
    });
    expect(await killRunning('bot', { ...options, force: true })).toBe(false);
    expect(await stranger.ask('checks', 'bot', options, 1)).toBe(0);
  });

  test.each([
    ['empty', ''],
    ['no JSON', ' {"pid":'],
    ['a list', ' [1]'],
    ['of pid 1', ' {"pid":1,"startToken":""}'],
    ['of a process group', ' {"pid":-1}'],
    ['huge', ` ${'['.repeat(100_000)}`],
  ])('one that is %s', async (_, text) => {
    const options = here();
    const actor = await holder('bot', options);
    writeFileSync(lockPath('bot', options), text);
    expect(await killRunning('bot', options)).toBe(true);
    expect(await actor.ended).toBe('SIGTERM');
  });

  test('a process that merely has the file open is not the holder', async () => {
    const options = here();
    const actor = await holder('bot', options);
    const reader = start(
      'sh',
      ['-c', 'exec 3<"$1"; echo ready; read x', 'sh', lockPath('bot', options)],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    await reader.says('ready\n');
    expect(await killRunning('bot', { ...options, force: true })).toBe(true);
    await actor.ended;
    expect(isAlive(reader.pid)).toBe(true);
  });
});

describe("another user's holder", () => {
  const killer = (name: string, timeout: number) => `
    import { killRunning } from '${new URL('../dist/index.js', import.meta.url)}';
    killRunning('${name}', { force: true, timeout: ${timeout} }).then(
      (gone) => console.log(JSON.stringify({ gone })),
      ({ name, code, syscall, errno, message }) =>
        console.log(JSON.stringify({ name, code, syscall, errno, message })),
    );`;
  const killAsNobody = async (name: string, timeout = 10_000) => {
    const args = [process.execPath, '--input-type=module', '-e', killer(name, timeout)];
    const { stdout } = await run(AS_NOBODY[0] as string, [...AS_NOBODY.slice(1), ...args]);
    return JSON.parse(stdout);
  };

  test('is not signalled: LOCK_PERMISSION', async (context) => {
    requireSecondUser(context);
    const name = freshName();
    const actor = await holder(name, {});
    expect(await killAsNobody(name)).toMatchObject({
      name: 'LockPathError',
      code: 'LOCK_PERMISSION',
      syscall: 'pidfd_send_signal',
      errno: 1,
      message: expect.stringContaining(`PID ${actor.pid}`),
    });
    expect((await actor.inspect(name)).holders).toMatchObject([{ pid: actor.pid }]);
  });

  test("does not draw the killer's own processes in by a forged record", async (context) => {
    requireSecondUser(context);
    const name = freshName();
    const actor = await holder(name, {});
    const victim = await Actor.start({ prefix: AS_NOBODY });
    forgeRecord(lockPath(name), { pid: victim.pid, startToken: startToken(victim.pid) });
    const { code } = await killAsNobody(name, 100);
    expect(['LOCK_PERMISSION', 'LOCK_TIMEOUT']).toContain(code);
    expect(await victim.ask('checks', name, {}, 1)).toBe(1);
    expect((await actor.inspect(name)).held).toBe(true);
  });

  test('is ended by root', async (context) => {
    requireSecondUser(context);
    const name = freshName();
    const actor = await holder(name, {}, AS_NOBODY);
    expect(inspect(name).holders).toMatchObject([{ pid: actor.pid }]);
    expect(await killRunning(name)).toBe(true);
    expect(await actor.ended).toBe('SIGTERM');
    expect(existsSync(lockPath(name))).toBe(true);
  });

  // As root is in most containers: it may list the descriptors of others, and not look where they lead.
  const asRoot = (...args: string[]) =>
    run('setpriv', ['--bounding-set', '-sys_ptrace', process.execPath, CLI, ...args]);

  test('is ended by root that has no CAP_SYS_PTRACE', async (context) => {
    requireSecondUser(context);
    const name = freshName();
    const actor = await holder(name, { metadata: 'mine' }, AS_NOBODY);
    const { stdout } = await asRoot('list', '--json');
    const found = JSON.parse(stdout).find((one: LockStatus) => one.name === name);
    expect(found).toMatchObject({ holders: [{ pid: actor.pid, metadata: 'mine' }], unknown: [] });
    const end = await asRoot('kill', name);
    const text = `Application '${name}': stopped (PID ${actor.pid})\n`;
    expect(end).toEqual({ status: 0, stdout: text, stderr: '' });
    expect(await actor.ended).toBe('SIGTERM');
  });

  test('that has no record is left alone by it, which says so', async (context) => {
    requireSecondUser(context);
    requireProgram(context, 'flock');
    const directory = freshDirectory();
    chmodSync(directory, 0o777);
    const path = lockPath('bot', { directory });
    const words = [...AS_NOBODY, 'flock', '-F', path, 'sh', '-c', 'echo on; exec sleep 60'];
    const flock = start(words[0] as string, words.slice(1));
    await flock.says('on\n');
    const text = `PID ${flock.pid} (nobody) may not be looked into by this user, and was left alone: end it by hand`;
    expect(await asRoot('kill', 'bot', '--directory', directory)).toEqual({
      status: 3,
      stdout: '',
      stderr: `Application 'bot': still running; ${text}\n`,
    });
    expect(isAlive(flock.pid)).toBe(true);
  });
});
