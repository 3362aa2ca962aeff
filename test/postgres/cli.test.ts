import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { inspect, lock } from '../../dist/postgres.js';
import { AS_NOBODY, requireProgram, requirePython, requireRoot } from '../support/requires.js';
import { CLI, cli, isAlive, run, start, TERMINAL } from '../support/run.js';
import { freshDirectory, freshName } from '../support/scratch.js';
import { Network } from './support/network.js';
import { Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

let server: Server;
let url: string;
let at: { connectionString: string };

beforeAll(async () => {
  server = await Server.start();
  url = server.url();
  at = { connectionString: url };
});
afterAll(() => server.stop());

const node = (...args: string[]) => start(process.execPath, [CLI, ...args]);
const runs = (name: string, code: string, ...options: string[]) =>
  node(
    'run',
    name,
    '--postgres',
    url,
    ...options,
    '--',
    process.execPath,
    '-e',
    `${code}; console.log('pid', process.pid)`,
  );
const STAY = 'setInterval(() => {}, 1000)';

async function pidOf(running: ReturnType<typeof start>): Promise<number> {
  let text = '';
  running.child.stdout?.on('data', (more) => {
    text += more;
  });
  await running.says(/pid \d+\n/);
  return Number(/pid (\d+)/.exec(text)?.[1]);
}

describe('run --postgres', () => {
  test.each([
    [['sh', '-c', 'exit 7'], 7],
    [['sh', '-c', 'kill -TERM $$'], 143],
    [['/etc/passwd'], 126],
    [['no-such-program'], 127],
    [['true'], 0],
  ])('passes the exit status on: %j', async (program, status) => {
    const name = freshName();
    expect((await cli('run', name, '--postgres', url, '--', ...program)).status).toBe(status);
    await nothingLeft(server);
  });

  test('takes the server from the environment', async () => {
    const env = {
      ...process.env,
      PGHOST: '127.0.0.1',
      PGPORT: String(server.port),
      PGUSER: 'postgres',
    };
    const name = freshName();
    const end = await run(process.execPath, [CLI, 'run', name, '--postgres', '--', 'echo', 'on'], {
      env,
    });
    expect(end).toMatchObject({ status: 0, stdout: 'on\n' });
    expect((await run(process.execPath, [CLI, 'check', '--postgres', name], { env })).status).toBe(
      1,
    );
  });

  test('is refused with 75, and told who runs', async () => {
    const name = freshName();
    const held = await lock(name, at);
    const end = await cli('run', name, '--postgres', url, '--', 'true');
    expect(end.status).toBe(75);
    expect(end.stderr).toContain(`📍 Running instance PID: ${process.pid} on ${hostname()}`);
    expect(end.stderr).toContain(`token=${held.token}`);
    expect(end.stderr).toContain(`kernel-lock ${name} --postgres ${held.path} --kill`);
    expect((await cli('run', name, '--postgres', url, '-E', '9', '--', 'true')).status).toBe(9);
    const json = await cli('run', name, '--postgres', url, '--json', '--', 'true');
    expect(JSON.parse(json.stderr)).toMatchObject({
      name,
      held: true,
      holder: { pid: process.pid, token: String(held.token) },
    });
    await held.release();
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'] as const)(
    'forwards %s',
    async (signal) => {
      const running = runs(freshName(), `process.on('${signal}', () => process.exit(5)); ${STAY}`);
      await pidOf(running);
      running.child.kill(signal);
      expect((await running.finished).status).toBe(5);
      await nothingLeft(server);
    },
  );

  test('keeps the lock while a program runs that can be sent no signal', async (context) => {
    requireRoot(context);
    const python = requirePython(context, 'os', AS_NOBODY);
    const name = freshName();
    const directory = freshDirectory();
    const own = join(directory, 'python');
    const shown = execFileSync(python, ['-c', 'import sys; print(sys.executable)']);
    copyFileSync(realpathSync(String(shown).trim()), own);
    chmodSync(own, 0o4755);
    chmodSync(directory, 0o755);
    // As sudo: it becomes another user.
    const code =
      "import os,signal; os.setresuid(0,0,0); print('pid', os.getpid(), flush=True); signal.pause()";
    const [command = '', ...prefix] = AS_NOBODY;
    const running = start(command, [
      ...prefix,
      ...[process.execPath, CLI, 'run', name, '--postgres', url, '--', own, '-c', code],
    ]);
    const pid = await pidOf(running);
    running.child.kill('SIGTERM');
    let told = '';
    running.child.stderr?.on('data', (text) => {
      told += text;
    });
    await expect.poll(() => told).toContain("can't be sent a signal");
    expect((await cli('run', name, '--postgres', url, '--', 'true')).status).toBe(75);
    process.kill(pid, 'SIGKILL');
    expect((await running.finished).status).toBe(137);
    await nothingLeft(server);
  });

  test('gives a reader in, and up in time', async () => {
    const name = freshName();
    const held = await lock(name, { ...at, shared: true });
    const args = ['run', name, '--postgres', url];
    expect((await cli(...args, '--shared', '--', 'true')).status).toBe(0);
    expect((await cli(...args, '--wait', '0.2', '--', 'true')).status).toBe(75);
    await held.release();
    await nothingLeft(server);
  });

  test('stops the program when the lock is lost, and exits with 76', async () => {
    const name = freshName();
    const running = runs(name, `process.on('SIGTERM', () => { console.log('asked'); }); ${STAY}`);
    const pid = await pidOf(running);
    const end = await cli('kill', name, '--postgres', url);
    expect(end).toMatchObject({ status: 0 });
    expect(end.stdout).toContain('its session was ended');
    const { status, stdout, stderr } = await running.finished;
    expect(status).toBe(76);
    expect(stdout).toContain('asked'); // SIGTERM first, then SIGKILL
    expect(stderr).toContain('may be lost');
    expect(isAlive(pid)).toBe(false);
    await nothingLeft(server);
  });

  test('exits with 76 also where only the release finds the loss', async () => {
    const name = freshName();
    const running = runs(name, `process.on('SIGUSR1', () => process.exit(0)); ${STAY}`);
    await pidOf(running);
    const [holder] = (await inspect(name, at)).holders;
    const backend = holder?.backendPid as number;
    process.kill(backend, 'SIGSTOP');
    onTestFinished(() => void process.kill(backend, 'SIGCONT'));
    running.child.kill('SIGUSR1');
    const { status, stderr } = await running.finished;
    expect(status).toBe(76);
    expect(stderr).toContain('may be lost');
  });

  test('stops the program also where its terminal is stopped', async (context) => {
    requireProgram(context, 'python3');
    const name = freshName();
    const run = [process.execPath, CLI, 'run', name, '--postgres', url, '--'];
    const command = [...run, 'sh', '-c', 'echo on; exec sleep 60'];
    const running = start('python3', [TERMINAL, 'stopped', ...command]);
    await running.says(/shown \d+\n/);
    const [holder] = (await inspect(name, at)).holders;
    const pid = holder?.pid as number;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    const program = Number(children.trim().split(' ')[0]);
    expect((await cli('kill', name, '--postgres', url)).status).toBe(0);
    await expect.poll(() => isAlive(program)).toBe(false);
    process.kill(pid, 'SIGKILL'); // it waits for its terminal, to say so
    await running.finished;
    await nothingLeft(server);
  });

  test('that is killed takes its program along', async () => {
    const running = runs(freshName(), STAY);
    const pid = await pidOf(running);
    running.child.kill('SIGKILL');
    await running.finished;
    await expect.poll(() => isAlive(pid)).toBe(false);
    await nothingLeft(server);
  });

  test('waits its turn', async () => {
    const name = freshName();
    const held = await lock(name, at);
    const running = node('run', name, '--postgres', url, '--wait', '--', 'echo', 'on');
    await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
    await held.release();
    expect(await running.finished).toMatchObject({ status: 0, stdout: 'on\n' });
  });
});

test('a server that dies ends the program; one who waited runs when it is back', async () => {
  const name = freshName();
  const first = runs(name, STAY);
  const pid = await pidOf(first);
  const second = runs(name, STAY, '--wait');
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  await server.stop('SIGKILL');
  expect((await first.finished).status).toBe(76);
  expect(isAlive(pid)).toBe(false);
  await server.boot();
  await pidOf(second);
  second.child.kill('SIGTERM');
  expect((await second.finished).status).toBe(143);
  await nothingLeft(server);
});

describe('the other commands', () => {
  test('check, list, wait and kill', async () => {
    const name = freshName();
    const args = ['--postgres', url];
    expect(await cli('check', name, ...args)).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('NOT RUNNING'),
    });
    expect((await cli('kill', name, ...args)).status).toBe(1);
    expect((await cli('wait', name, ...args)).status).toBe(0);
    const held = await lock(name, { ...at, metadata: { shard: 7 } });
    const { status, stdout } = await cli('check', name, ...args);
    expect(status).toBe(0);
    for (const text of [
      `PID: ${process.pid} on ${hostname()}`,
      'metadata={"shard":7}',
      'Session status: idle',
      'application=kernel-lock',
    ])
      expect(stdout).toContain(text);
    expect(JSON.parse((await cli('check', name, ...args, '--json')).stdout)).toMatchObject({
      held: true,
      holders: [{ token: String(held.token) }],
    });
    const { stdout: table } = await cli('list', ...args);
    expect(table).toMatch(/^NAME +MODE +PID +HOST +HELD FOR +TOKEN +WAITING +SESSION\n/);
    expect(table).toContain(name);
    expect((await cli('wait', name, ...args, '--timeout', '0.1')).status).toBe(75);
    await held.release();
    const text = await cli('list', ...args);
    expect(text.stdout).toBe('No lock is held here.\n');
    await nothingLeft(server);
  });

  test('kill answers 3 where the role may not end the session', async () => {
    const name = freshName();
    await server.sql('CREATE ROLE stranger LOGIN');
    const held = await lock(name, at);
    const args = ['kill', name, '--postgres', server.url('stranger')];
    const end = await cli(...args);
    expect(end).toMatchObject({ status: 3, stdout: '' });
    expect(end.stderr).toMatch(/^.*still running.* this role may not end session \d+ .*\n$/);
    const json = await cli(...args, '--json');
    expect(json).toMatchObject({ status: 3, stderr: '' });
    const [backendPid] = await server.sessions();
    expect(JSON.parse(json.stdout)).toMatchObject({
      name,
      outcome: 'denied',
      holders: [{ backendPid }],
      remaining: [{ backendPid }],
      refused: [{ backendPid, message: expect.stringContaining('terminate') }],
      successors: [],
    });
    expect(held.held).toBe(true);
    await held.release();
    await nothingLeft(server);
  });

  test('of two readers, the one is ended that the role may end', async () => {
    const name = freshName();
    await server.sql('CREATE ROLE reader LOGIN');
    const mine = await lock(name, { connectionString: server.url('reader'), shared: true }).catch(
      async () => {
        await server.sql(
          'GRANT SELECT, INSERT, UPDATE ON kernel_lock, kernel_lock_grant TO reader',
        );
        return await lock(name, { connectionString: server.url('reader'), shared: true });
      },
    );
    const others = await lock(name, { ...at, shared: true });
    const end = await cli('kill', name, '--postgres', server.url('reader'));
    expect(end.status).toBe(3);
    expect(end.stderr).toMatch(/this role may not end session \d+ of/);
    await expect.poll(() => mine.held).toBe(false);
    expect(others.held).toBe(true);
    await others.release();
    await nothingLeft(server);
  });

  test.each([
    [['list', '--watch'], 64],
    [['check', 'a', '--directory', '/tmp'], 64],
    [['kill', 'a', '--force'], 64],
    [['path', 'a'], 64],
  ])('what is for this machine alone is refused: %j', async (args, status) => {
    expect((await cli(...args, '--postgres', url)).status).toBe(status);
  });

  test('migration prints SQL that the server takes', async () => {
    const { status, stdout } = await cli('migration');
    expect(status).toBe(0);
    await server.sql(stdout);
  });

  test('fail with one line, without the password', async () => {
    const secret = 'open-sesame';
    for (const bad of [
      `postgres://u:${secret}@127.0.0.1:1/db`,
      `http://u:${secret}@h/db`,
      `postgres://u:${secret}@h:x/db`,
    ]) {
      for (const json of [[], ['--json']]) {
        const { status, stdout, stderr } = await cli('check', 'a', '--postgres', bad, ...json);
        expect([64, 69]).toContain(status);
        expect(stdout + stderr).not.toContain(secret);
        expect(stderr.trim().split('\n')).toHaveLength(1);
      }
    }
  });

  test('show no password to ps', async () => {
    const running = node(
      'run',
      freshName(),
      '--postgres',
      url.replace('@', ':open-sesame@'),
      '--',
      process.execPath,
      '-e',
      `${STAY}; console.log('pid', process.pid)`,
    );
    const pid = await pidOf(running);
    for (const one of [running.pid, pid]) {
      expect(readFileSync(`/proc/${one}/cmdline`, 'utf8')).not.toContain('open-sesame');
    }
    expect(readFileSync(`/proc/${running.pid}/cmdline`, 'utf8')).toContain('kernel-lock run');
    running.child.kill('SIGTERM');
    await running.finished;
  });
});

test('says what to install where pg is missing', async () => {
  const directory = freshDirectory();
  for (const file of ['cli.js', 'postgres.js', 'index.js']) {
    writeFileSync(
      join(directory, file),
      readFileSync(new URL(`../../dist/${file}`, import.meta.url)),
    );
  }
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  const { status, stderr } = await run(process.execPath, [
    join(directory, 'cli.js'),
    'check',
    'a',
    '--postgres',
    url,
  ]);
  expect(status).toBe(69);
  expect(stderr).toContain('npm install pg');
});

test('this machine first, then the fleet', async () => {
  const name = freshName();
  const directory = freshDirectory();
  const both = [
    'run',
    name,
    '--directory',
    directory,
    '--',
    process.execPath,
    CLI,
    'run',
    name,
    '--postgres',
    url.replace('@', ':open-sesame@'),
  ];
  const running = node(
    ...both,
    '--',
    process.execPath,
    '-e',
    `${STAY}; console.log('pid', process.pid)`,
  );
  await pidOf(running);
  expect((await cli('check', name, '--directory', directory)).status).toBe(0);
  const file = join(directory, `${name}.lock`);
  expect(readFileSync(file, 'latin1')).toContain('postgres://postgres@127.0.0.1'); // the password not
  expect((await cli('check', name, '--postgres', url)).status).toBe(0);
  const second = await cli(...both, '--', 'true');
  expect(second.status).toBe(75);
  expect(second.stderr).toContain(`--directory ${directory} --kill`); // it did not come to the server
  running.child.kill('SIGTERM');
  expect((await running.finished).status).toBe(143);
  await nothingLeft(server);
});

test('two hosts: one runs, and the other one after its death and after a cut cable', async (context) => {
  requireRoot(context);
  requireProgram(context, 'ip');
  requireProgram(context, 'unshare');
  const hosts = [new Network(), new Network()];
  const { appendFileSync } = await import('node:fs');
  for (const { peer } of hosts)
    appendFileSync(join(server.data, 'pg_hba.conf'), `host all all ${peer}/32 trust\n`);
  const addresses = ['127.0.0.1', ...hosts.map(({ address }) => address)].join();
  appendFileSync(join(server.data, 'postgresql.conf'), `listen_addresses = '${addresses}'\n`);
  await server.restart();
  const name = freshName();
  // Each with a /run of its own too.
  const bot = ({ prefix, address }: Network) => {
    const to = url.replace('127.0.0.1', address);
    const [command = '', ...args] = [
      ...prefix,
      'unshare',
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs none /run && exec "$@"',
      'sh',
    ];
    const code = `${STAY}; console.log('pid', process.pid)`;
    return start(command, [
      ...args,
      process.execPath,
      CLI,
      'run',
      name,
      '--postgres',
      to,
      '--wait',
      '--',
      process.execPath,
      '-e',
      code,
    ]);
  };
  const first = bot(hosts[0] as Network);
  const pid = await pidOf(first);
  const second = bot(hosts[1] as Network);
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  let killed = performance.now();
  first.child.kill('SIGKILL');
  const next = await pidOf(second);
  const took = performance.now() - killed;
  console.log(`moved ${took.toFixed()} ms after SIGKILL`);
  expect(took).toBeLessThan(5000);
  expect(isAlive(pid)).toBe(false);
  const third = bot(hosts[0] as Network);
  await expect.poll(() => server.locks()).toEqual({ held: 1, waiting: 1 });
  killed = performance.now();
  hosts[1]?.cut();
  const stopped = second.finished.then(() => performance.now() - killed);
  await pidOf(third);
  const moved = performance.now() - killed;
  expect(isAlive(next)).toBe(false);
  console.log(
    `cut cable: stopped after ${(await stopped).toFixed()} ms, moved after ${moved.toFixed()} ms`,
  );
  expect((await second.finished).status).toBe(76);
  expect(moved).toBeLessThan(28_000); // 5 heartbeats, and a busy machine
  third.child.kill('SIGTERM');
  await third.finished;
});
