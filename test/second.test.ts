// A refused second instance hands its arguments to the first one.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkRunning, inspect, lockPath, lockSync, SingleInstance } from '../dist/index.js';
import { program } from './support/instance.js';
import { AS_NOBODY, requireProgram, requireRoot, requireSecondUser } from './support/requires.js';
import { run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const USER_DIRECTORY = dirname(lockPath('bot', { scope: 'user' }));
const HEARD = '📨 It has been given the arguments of this one\n💡 To stop it: ';

const HEAR = `onSecondInstance: (argv, cwd) => say('heard ' + JSON.stringify([argv.slice(1), cwd]))`;
const SECOND = `new SingleInstance('bot', { ...options, onSecondInstance() {} }); say('went on');`;

/** A first instance, which is ended in an orderly way, so that it leaves nothing. */
async function first(directory: string, more = HEAR, prelude = '') {
  const code = `${prelude}; new SingleInstance('bot', { ...options, ${more} });
    stayAlive(); say('ready');`;
  const running = program(directory, code);
  onTestFinished(async () => {
    running.child.kill('SIGTERM');
    await running.finished;
  });
  await running.says('ready\n');
  return running;
}

/** The path of the socket that the process listens on, by the kernel's word. */
function socketsOf(pid: number): string[] {
  const inodes = readdirSync(`/proc/${pid}/fd`).map(
    (fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1],
  );
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/ +/))
    .filter(([, , , , , , inode, path]) => path?.endsWith('.sock') && inodes.includes(inode))
    .map((fields) => fields[7] as string);
}

describe('a refused second instance', () => {
  test('hands its arguments and directory to the first, reports, and exits with 1', async () => {
    const directory = freshDirectory();
    const { says } = await first(directory);
    const strange = ['', 'a b', '--option=ü😀', '"\'\\', 'line\nline', '\u001b[31m'];
    const code = `import { SingleInstance } from '${new URL('../dist/index.js', import.meta.url)}';
      new SingleInstance('bot', { directory: process.argv[1], onSecondInstance() {} });
      console.log('went on');`;
    const { status, stdout, stderr } = await run(
      process.execPath,
      ['--input-type=module', '-e', code, directory, ...strange],
      { cwd: directory },
    );
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^❌ Another instance is already running\n/);
    expect(stderr).toContain(HEARD);
    await says(`heard ${JSON.stringify([[directory, ...strange], directory])}\n`);
  });

  test('and arguments that are not UTF-8, as Node has them', async (context) => {
    requireProgram(context, 'sh');
    const directory = freshDirectory();
    const { says } = await first(directory);
    const second = program(directory, SECOND, [
      ...['sh', '-c', 'exec "$@" "$(printf "\\377x")"', 'sh'],
    ]);
    expect((await second.finished).stderr).toContain(HEARD);
    await says(JSON.stringify([[directory, 'argument one', '\ufffdx'], process.cwd()]));
  });

  test("with onConflict: 'throw' hands over before it throws", async () => {
    const directory = freshDirectory();
    const { says } = await first(directory);
    const code = `
      try {
        new SingleInstance('bot', { ...options, onConflict: 'throw', onSecondInstance() {} });
      } catch (error) {
        say(error.code);
      }`;
    const { status, stdout, stderr } = await program(directory, code).finished;
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'LOCK_HELD\n', stderr: '' });
    await says('heard ');
  });

  test('hands over after a wait in vain', async () => {
    const directory = freshDirectory();
    const { says } = await first(directory);
    const code = `new SingleInstance('bot', { ...options, wait: 20, onSecondInstance() {} });`;
    expect((await program(directory, code).finished).stderr).toContain(HEARD);
    await says('heard ');
  });

  test('meets the first one by another name of the directory, and not in another directory', async () => {
    const directory = freshDirectory();
    const elsewhere = freshDirectory();
    const link = `${freshDirectory()}/link`;
    symlinkSync(directory, link);
    const one = await first(directory);
    const other = await first(elsewhere);
    expect((await program(link, SECOND).finished).stderr).toContain(HEARD);
    await one.says('heard ');
    other.child.kill('SIGTERM');
    expect((await other.finished).stdout).not.toContain('heard');
  });

  test('that does not want to hands nothing over', async () => {
    const directory = freshDirectory();
    const { child, finished } = await first(directory);
    const { status, stderr } = await program(directory, `new SingleInstance('bot', options)`)
      .finished;
    expect(status).toBe(1);
    expect(stderr).not.toContain('📨');
    child.kill('SIGTERM');
    expect((await finished).stdout).not.toContain('heard');
  });

  test.each([
    ['does not listen', 'onShutdown() {}'],
    ['is another program', ''],
  ])('reports as ever where the first one %s', async (_, more) => {
    const directory = freshDirectory();
    if (more === '') {
      const held = lockSync('bot', { directory });
      onTestFinished(() => held.release());
    } else await first(directory, more);
    const { status, stdout, stderr } = await program(directory, SECOND).finished;
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^❌ Another instance is already running\n📍[\s\S]*--kill\n$/);
    expect(stderr).not.toContain('📨');
  });

  test('is not held up by a first one that is busy, which hears of it later', async () => {
    const directory = freshDirectory();
    const busy = await first(
      directory,
      HEAR,
      `process.stdin.once('data', () => {
      say('busy');
      const { existsSync } = process.getBuiltinModule?.('node:fs') ?? fs;
      while (!existsSync(directory + '/go'));
    }); import fs from 'node:fs'`,
    );
    busy.child.stdin?.write('be busy\n');
    await busy.says('busy\n');
    const { status, stderr } = await program(directory, SECOND).finished;
    expect(status).toBe(1);
    expect(stderr).toMatch(/^❌ Another instance is already running\n/);
    expect(stderr).not.toContain('📨');

    // A signal ends the blocked one.
    const blocked = program(directory, `say('starting'); ${SECOND}`);
    await blocked.says('starting\n');
    blocked.child.kill('SIGTERM');
    expect((await blocked.finished).status).toBe('SIGTERM');

    mkdirSync(`${directory}/go`);
    await busy.says('heard ');
  });

  // Both have been started before, so that what is slow is the listening alone.
  test('waits for a first one that has acquired and is slow to listen', async () => {
    const directory = freshDirectory();
    const second = program(directory, `say('ready'); await line(); say('starting'); ${SECOND}`);
    await second.says('ready\n');
    const slow = `() => {
      say('acquired');
      readSync(0, Buffer.alloc(1));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 800);
    }`;
    const one = program(
      directory,
      `import { readSync } from 'node:fs';
      new SingleInstance('bot', { ...options, logger: { ...logger, info: ${slow} }, ${HEAR} });
      stayAlive();`,
    );
    await one.says('acquired\n');
    second.child.stdin?.write('go on\n');
    await second.says('starting\n');
    one.child.stdin?.write('x');
    expect((await second.finished).stderr).toContain(HEARD);
    await one.says('heard ');
    one.child.kill('SIGTERM');
    await one.finished;
  });

  test('is not held up by a first one that has had the lock for long and does not listen', async () => {
    const directory = freshDirectory();
    using held = lockSync('bot', { directory });
    const record = readFileSync(held.path, 'utf8');
    const old = record.replace(/(?<="acquiredAt":")\d{4}/, '2000');
    expect(old).not.toBe(record);
    writeFileSync(held.path, old);
    const code = `
      const before = performance.now();
      try {
        new SingleInstance('bot', { ...options, onConflict: 'throw', onSecondInstance() {} });
      } catch (error) {
        say(error.code + ' ' + Math.floor((performance.now() - before) / 2000));
      }`;
    const { stdout } = await program(directory, code).finished;
    expect(stdout).toBe('LOCK_HELD 0\n');
  });

  test('reports as ever where its arguments are too long', async () => {
    const directory = freshDirectory();
    const { child, finished } = await first(directory);
    const code = `process.argv.push('x'.repeat(1_048_576)); ${SECOND}`;
    const { status, stderr } = await program(directory, code).finished;
    expect(status).toBe(1);
    expect(stderr).not.toContain('📨');
    child.kill('SIGTERM');
    expect((await finished).stdout).not.toContain('heard');
  });

  test('is heard once each, in a crowd', { timeout: 120_000 }, async () => {
    const directory = freshDirectory();
    const { child, finished, says } = await first(directory);
    const timed = `const begun = performance.now();
      process.on('exit', () => say(performance.now() - begun));`;
    const crowd = [...Array(12).keys()].map(
      (i) => program(directory, `process.argv.push('number ${i}'); ${timed} ${SECOND}`).finished,
    );
    const ends = await Promise.all(crowd);
    expect(ends.map(({ status }) => status)).toEqual(Array(12).fill(1));
    for (const [i, { stdout, stderr }] of ends.entries()) {
      if (stderr.includes(HEARD)) await says(`"number ${i}"`);
      // On a slow machine one gives up after five seconds, and may be heard later, or not.
      else expect(Number(stdout)).toBeGreaterThan(4900);
    }
    child.kill('SIGTERM');
    const heard = (await finished).stdout.match(/"number \d+"/g) ?? [];
    expect(heard).toHaveLength(new Set(heard).size);
  });

  test('of the same process does not wait for itself', () => {
    const directory = freshDirectory();
    const options = { directory, logger: { info() {}, warn() {}, error() {} } };
    const heard: unknown[] = [];
    const onSecondInstance = (...args: unknown[]) => heard.push(args);
    using _first = new SingleInstance('bot', { ...options, onSecondInstance });
    const before = performance.now();
    expect(
      () => new SingleInstance('bot', { ...options, onConflict: 'throw', onSecondInstance }),
    ).toThrow(expect.objectContaining({ code: 'LOCK_HELD' }));
    expect(performance.now() - before).toBeLessThan(4000);
    expect(heard).toEqual([]);
  });
});

describe('in a worker thread', () => {
  const inWorker = (code: string) => `
    import { Worker } from 'node:worker_threads';
    const code = \`
      import { SingleInstance } from '${new URL('../dist/index.js', import.meta.url)}';
      import { parentPort } from 'node:worker_threads';
      const directory = '\${directory}';
      const say = (text) => parentPort.postMessage(text);
      ${code}\`;
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(code)));
    worker.on('message', say);
    worker.on('exit', (code) => say('worker ended with ' + code));`;

  test('the first one hears, and the second one hands over', async () => {
    const directory = freshDirectory();
    const one = program(
      directory,
      `${inWorker(`new SingleInstance('bot', { directory, ${HEAR} });
        parentPort.once('message', () => process.exit());
        say('ready');`)}
      await line();
      worker.postMessage('end');`,
    );
    await one.says('ready\n');
    const two = program(
      directory,
      inWorker(`new SingleInstance('bot', { directory, onSecondInstance() {} });`),
    );
    const { stdout, stderr } = await two.finished;
    expect({ stdout, stderr: stderr.includes(HEARD) }).toEqual({
      stdout: 'worker ended with 1\n',
      stderr: true,
    });
    await one.says('heard ');
    const [socket] = socketsOf(one.pid) as [string];
    one.child.stdin?.end('end\n');
    await one.finished;
    expect(existsSync(socket)).toBe(false);
  });
});

describe('the first instance', () => {
  test('listens where nobody else can enter', async (context) => {
    requireRoot(context);
    const { pid } = await first(freshDirectory());
    const [socket] = socketsOf(pid) as [string];
    expect(dirname(socket)).toBe(USER_DIRECTORY);
    expect(statSync(USER_DIRECTORY).mode & 0o777).toBe(0o700);
    const code = `require('node:net').connect(process.argv[1])
      .on('connect', () => console.log('connected'))
      .on('error', (error) => console.log(error.code))`;
    const [command, ...prefix] = AS_NOBODY as [string, ...string[]];
    const knock = await run(command, [...prefix, process.execPath, '-e', code, socket]);
    expect(knock.stdout).toBe('EACCES\n');
  });

  test('does not listen in a directory that is open to others, and says so', async (context) => {
    requireRoot(context);
    mkdirSync(USER_DIRECTORY, { recursive: true, mode: 0o700 });
    const open = freshDirectory(); // 0755
    const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
    const unshare = ['unshare', '--mount', 'sh', '-c', script, 'sh', open, USER_DIRECTORY];
    const code = `new SingleInstance('bot', { ...options, logger, ${HEAR} });`;
    const { status, stdout } = await program(freshDirectory(), code, unshare).finished;
    expect(status).toBe(0);
    expect(stdout).toMatch(/warn: ⚠️ {2}Second instances can't hand over: .*open to others/);
    expect(readdirSync(open)).toEqual([]);
  });

  test('of a user without a home does not listen, and says so', async (context) => {
    requireSecondUser(context);
    const directory = freshDirectory();
    chmodSync(directory, 0o777);
    const code = `new SingleInstance('bot', { ...options, logger, ${HEAR} });`;
    const { status, stdout } = await program(directory, code, AS_NOBODY).finished;
    expect(status).toBe(0);
    expect(stdout).toMatch(/warn: ⚠️ {2}Second instances can't hand over: .*nonexistent/);
  });

  test('goes on where its logger does not take that', async (context) => {
    requireSecondUser(context);
    const directory = freshDirectory();
    chmodSync(directory, 0o777);
    const code = `
      const warn = () => { throw new Error('broken logger'); };
      const instance = new SingleInstance('bot', { ...options, logger: { ...logger, warn }, ${HEAR} });
      say('goes on, held ' + instance.held);`;
    const { status, stdout } = await program(directory, code, AS_NOBODY).finished;
    expect(status).toBe(0);
    expect(stdout).toContain('goes on, held true\n');
  });

  test.each([
    ['ends by itself', '', 0],
    ['exits', 'process.exit(7)', 7],
    ['is released', `instance.release(); stayAlive(); say('released');`, undefined],
    ['ends by a signal', `stayAlive(); process.kill(process.pid, 'SIGTERM')`, 'SIGTERM'],
  ])('removes its socket when it %s, and is not kept by it', async (_, end, wanted) => {
    const code = `
      const instance = new SingleInstance('bot', { ...options, ${HEAR} });
      process.stdin.once('data', () => { process.stdin.destroy(); ${end} });
      say('ready');`;
    const running = program(freshDirectory(), code);
    await running.says('ready\n');
    const [socket] = socketsOf(running.pid) as [string];
    expect(existsSync(socket)).toBe(true);
    running.child.stdin?.write('end\n');
    if (wanted === undefined) await running.says('released\n');
    else expect((await running.finished).status).toBe(wanted);
    expect(existsSync(socket)).toBe(false);
  });

  test('takes nothing over while it shuts down', async () => {
    const directory = freshDirectory();
    const onShutdown = `onShutdown: async () => { say('closing'); await line(); }`;
    const { child, says } = await first(directory, `${HEAR}, ${onShutdown}`);
    child.kill('SIGTERM');
    await says('closing\n');
    const { status, stderr } = await program(directory, SECOND).finished;
    expect(status).toBe(1);
    expect(stderr).not.toContain(HEARD);
    child.stdin?.write('go on\n');
  });

  // As process managers run programs; its primary would own the socket, and take the calls.
  test("listens by itself in a cluster's worker", async () => {
    const directory = freshDirectory();
    const file = join(directory, 'bot.mjs');
    writeFileSync(
      file,
      `import cluster from 'node:cluster';
      import { SingleInstance } from '${new URL('../dist/index.js', import.meta.url)}';
      if (cluster.isPrimary) {
        cluster.fork().on('exit', () => process.exit());
        process.stdin.on('end', () => process.exit()).resume();
      } else {
        const onSecondInstance = () => console.log('heard');
        new SingleInstance('bot', { directory: '${directory}', onSecondInstance });
        console.log('ready', process.pid);
      }`,
    );
    const { child, says } = start(process.execPath, [file], { stdio: ['pipe', 'pipe', 'pipe'] });
    await says(/ready \d+\n/);
    child.kill('SIGSTOP');
    expect((await program(directory, SECOND).finished).stderr).toContain(HEARD);
    await says('heard\n');
    const [worker] = inspect('bot', { directory }).holders;
    child.kill('SIGCONT');
    process.kill(worker?.pid as number, 'SIGTERM');
    await expect.poll(() => checkRunning('bot', { directory }), { timeout: 10_000 }).toBe(false);
  });

  test('replaces what one that was killed left behind', async () => {
    const directory = freshDirectory();
    const killed = await first(directory);
    const [stale] = socketsOf(killed.pid);
    killed.child.kill('SIGKILL');
    await killed.finished;
    expect(statSync(stale as string).isSocket()).toBe(true);
    const { pid, says } = await first(directory);
    expect(socketsOf(pid)).toEqual([stale]);
    expect((await program(directory, SECOND).finished).stderr).toContain(HEARD);
    await says('heard ');
  });

  test('ends as ever by what onSecondInstance throws', async () => {
    const directory = freshDirectory();
    const broken = `onSecondInstance: () => { throw new Error('broken'); }`;
    const { finished } = await first(directory, broken);
    expect((await program(directory, SECOND).finished).stderr).toContain(HEARD);
    expect(await finished).toMatchObject({ status: 1, stderr: expect.stringContaining('broken') });
    expect(checkRunning('bot', { directory })).toBe(false);
  });

  test.each([
    ['nothing', ''],
    ['no JSON', 'argv'],
    ['a null', 'null'],
    ['another shape', '{"argv":{"length":1},"cwd":"/"}'],
    ['other types', '{"argv":["x",7],"cwd":"/"}'],
    ['no directory', '{"argv":["x"]}'],
    ['a JSON bomb', '['.repeat(1_000_000)],
    ['broken UTF-8', Buffer.from([0xff, 0xfe, 0x00])],
    ['too much', 'x'.repeat(3_000_000)],
  ])('shrugs off who sends %s', async (_, message) => {
    const directory = freshDirectory();
    const { pid, child, finished } = await first(directory);
    const [address] = socketsOf(pid) as [string];
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect({ path: address, allowHalfOpen: true });
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(text));
      socket.on('end', () => socket.end());
      socket.end(message);
    });
    expect(answer).toBe('');
    expect((await program(directory, SECOND).finished).stderr).toContain(HEARD);
    child.kill('SIGTERM');
    expect((await finished).stdout.match(/heard/g)).toHaveLength(1);
  });

  test('hangs up on who says nothing, however many', async () => {
    const directory = freshDirectory();
    const { pid, says } = await first(directory);
    const [address] = socketsOf(pid) as [string];
    const closed = [...Array(150).keys()].map(
      () =>
        new Promise((resolve) => {
          const socket = connect(address);
          socket.on('error', () => {});
          socket.on('close', resolve);
          onTestFinished(() => void socket.destroy());
        }),
    );
    await Promise.all(closed);
    expect((await program(directory, SECOND).finished).stderr).toContain(HEARD);
    await says('heard ');
  });

  test('is not of readers: shared is refused with it, and nothing is touched', () => {
    const directory = freshDirectory();
    const options = { directory, shared: true, onSecondInstance: () => {} };
    expect(() => new SingleInstance('bot', options)).toThrow(
      expect.objectContaining({ code: 'LOCK_INVALID_OPTION' }),
    );
    expect(readdirSync(directory)).toEqual([]);
  });
});
