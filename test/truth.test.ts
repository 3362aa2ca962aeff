// Cases that fool whoever believes a PID in a file, or the lock table alone: each with real
// processes.
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  checkRunning,
  type Holder,
  inspect,
  killRunning,
  list,
  lock,
  lockPath,
  lockSync,
} from '../dist/index.js';
import { LockTable } from '../src/linux.js';
import { Actor } from './support/actor.js';
import { startAs } from './support/known.js';
import {
  AS_NOBODY,
  NOBODY,
  requireMounted,
  requireProgram,
  requirePython,
  requireRoot,
  requireSecondUser,
  requireWholeTable,
} from './support/requires.js';
import { CLI, cli, type Running, run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const POLL = { timeout: 20_000, interval: 10 };
const PIPES = { stdio: ['pipe', 'pipe', 'pipe'] as ['pipe', 'pipe', 'pipe'] };

const here = () => ({ directory: freshDirectory() });
const pids = (directory: string) => inspect('bot', { directory }).holders.map(({ pid }) => pid);

/** A program that holds `bot` by kernel-lock run. */
function holding(directory: string, program: string[], prefix: string[] = []): Running {
  const at = ['--directory', directory];
  const command = [...prefix, process.execPath, CLI, 'run', 'bot', ...at, '--', ...program];
  return start(command[0] as string, command.slice(1), PIPES);
}

/** A holder that has died; resolves to its pid, and to that of the child that holds on for it. */
async function orphaned(directory: string): Promise<{ dead: number; child: number }> {
  const script = 'sleep 60 >&- 2>&- & echo child=$!';
  const { pid, finished } = holding(directory, ['sh', '-c', script]);
  const { stdout } = await finished;
  const child = Number(/child=(\d+)/.exec(stdout)?.[1]);
  onTestFinished(() => {
    if (pids(directory).includes(child)) process.kill(child, 'SIGKILL');
  });
  return { dead: pid, child };
}

describe('a holder that forked and died', () => {
  test('is not shown: its child is, which holds on', async () => {
    const { directory } = here();
    const { child } = await orphaned(directory);
    // The child closes its standard output a moment before it becomes that program.
    const argv = () => inspect('bot', { directory }).holders[0]?.argv;
    await expect.poll(argv).toEqual(['sleep', '60']);
    expect(inspect('bot', { directory })).toMatchObject({
      held: true,
      holders: [
        {
          pid: child,
          argv: ['sleep', '60'],
          acquiredAt: undefined,
          metadata: undefined,
          source: 'kernel',
        },
      ],
      unknown: [expect.stringContaining('Since when')],
    });
  });
});

describe('a recycled PID', () => {
  /** The locks of a process's open files, as /proc/locks has them. */
  const locksOf = (pid: number) =>
    readdirSync(`/proc/${pid}/fdinfo`)
      .map((fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))
      .join('');

  async function recycled(directory: string) {
    for (let round = 0; round < 50; round++) {
      const { dead, child } = await orphaned(directory);
      if ((await startAs(dead, ['sleep', '61'])) !== undefined) return { stranger: dead, child };
      process.kill(child, 'SIGKILL');
      await expect.poll(() => checkRunning('bot', { directory }), POLL).toBe(false);
    }
    throw new Error('others took each pid first');
  }

  test('is not the holder, while a child of the dead one holds on', async (context) => {
    requireSecondUser(context);
    requireProgram(context, 'python3');
    requireWholeTable(context);
    const { directory } = here();
    const { stranger, child } = await recycled(directory);
    expect(readFileSync(lockPath('bot', { directory }), 'utf8')).toContain(`"pid":${stranger},`);
    // The table's entry, by the descriptor: a reading of the whole may miss it while others come and go.
    expect(locksOf(child)).toMatch(new RegExp(` WRITE ${stranger} `));
    expect(pids(directory)).toEqual([child]);

    // Who may not look into either has only the table's word, which names the stranger.
    const check = [...AS_NOBODY, process.execPath, CLI, 'check', 'bot', '--directory', directory];
    const end = await run(check[0] as string, check.slice(1));
    expect(end.stdout).not.toContain(`PID: ${stranger}`);
    expect(end.stdout).toContain('❔ The process that acquired it has ended');
    expect(end.status).toBe(0);
  });

  test('holds nothing where nobody does', async (context) => {
    requireRoot(context);
    requireProgram(context, 'python3');
    const { directory } = here();
    const { child } = await recycled(directory);
    process.kill(child, 'SIGKILL');
    await expect
      .poll(() => inspect('bot', { directory }), POLL)
      .toMatchObject({
        held: false,
        holders: [],
      });
  });

  test('that acquires it itself is shown with nothing of the old record', async (context) => {
    requireRoot(context);
    for (const program of ['python3', 'flock']) requireProgram(context, program);
    const { directory } = here();
    let stranger: Running | undefined;
    for (let round = 0; round < 50 && stranger === undefined; round++) {
      const holder = holding(directory, ['true']);
      await holder.finished;
      const command = [
        'flock',
        '-F',
        lockPath('bot', { directory }),
        'sh',
        '-c',
        'echo on; read x',
      ];
      stranger = await startAs(holder.pid, command);
    }
    await stranger?.says('on');
    const [holder] = inspect('bot', { directory }).holders;
    expect(holder).toMatchObject({
      pid: stranger?.pid,
      argv: ['sh', '-c', 'echo on; read x'],
      acquiredAt: undefined,
      hostname: undefined,
      source: 'kernel',
    });
  });
});

describe("Python's filelock", () => {
  const script = (action: string) => `
import filelock, sys
lock = filelock.FileLock(sys.argv[1])
try:
    lock.acquire(timeout=0)
    print('acquired', flush=True)
    ${action}
except filelock.Timeout:
    print('refused')`;

  test('truncates the record: the holder stays known to the kernel', async (context) => {
    const python = requirePython(context, 'filelock');
    const { directory } = here();
    using held = lockSync('bot', { directory, metadata: 'mine' });
    const refused = await run(python, ['-c', script('pass'), held.path]);
    expect(refused.stdout).toBe('refused\n');
    expect(readFileSync(held.path, 'utf8')).toBe('');
    expect(inspect('bot', { directory })).toMatchObject({
      held: true,
      holders: [{ pid: process.pid, acquiredAt: undefined, metadata: undefined, source: 'kernel' }],
      unknown: [expect.stringContaining('no owner record')],
    });
    expect((await cli('check', 'bot', '--directory', directory)).stdout).toContain('❔ Since when');
  });

  test.for(['filelock', 'fcntl'])('as the holder is shown, by %s', async (module, context) => {
    const python = requirePython(context, module);
    const { directory } = here();
    const path = lockPath('bot', { directory });
    const code =
      module === 'filelock'
        ? script('sys.stdin.read()')
        : `import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('acquired', flush=True); sys.stdin.read()`;
    const holder = start(python, ['-c', code, path], PIPES);
    await holder.says('acquired');
    const [one, ...others] = inspect('bot', { directory }).holders;
    expect(others).toEqual([]);
    expect(one).toMatchObject({
      pid: holder.pid,
      argv: expect.arrayContaining([path]),
      cwd: process.cwd(),
      status: expect.any(String),
      memoryBytes: expect.any(Number),
      processStartedAt: expect.any(Date),
      source: 'kernel',
    });
    expect(list({ directory }).map(({ name }) => name)).toEqual(['bot']);
  });
});

describe('who comes and goes between two looks of one who asks', () => {
  const PAUSING = new URL('./support/pausing.mjs', import.meta.url).href;

  /** How a command ends that stands still before it looks at `path` until `meanwhile` has happened. */
  async function looking(
    args: string[],
    [path, time]: [string, number],
    meanwhile: () => Promise<unknown>,
  ) {
    const pausing = `${PAUSING}?${new URLSearchParams({ path, time: `${time}` })}`;
    const asker = start(process.execPath, ['--import', pausing, CLI, ...args], PIPES);
    await asker.says('paused\n');
    await meanwhile();
    asker.child.stdin?.end('.');
    const { status, stdout } = await asker.finished;
    return { status, stdout: stdout.replace('paused\n', '') };
  }

  test.each(['release', 'kill'] as const)(
    'the holder, by "%s": it is not said to be running',
    async (how) => {
      const { directory } = here();
      for (const [args, end] of [
        [['check', 'bot'], { status: 1, stdout: "Application 'bot': NOT RUNNING\n" }],
        [['list'], { status: 0, stdout: expect.stringMatching(/^No lock is held/) }],
      ] as const) {
        const actor = await Actor.start();
        const held = await actor.lock('bot', { directory });
        const go = () => (how === 'kill' ? actor.kill() : actor.release(held));
        const descriptors = `/proc/${actor.pid}/fd`;
        const at = ['--directory', directory];
        expect(await looking([...args, ...at], [descriptors, 1], go)).toEqual(end);
        await actor.end();
      }
    },
  );

  test('the holder, by itself: it is not said to have been stopped', async () => {
    const { directory } = here();
    const actor = await Actor.start();
    const held = await actor.lock('bot', { directory });
    const args = ['kill', 'bot', '--directory', directory];
    const end = await looking(args, [`/proc/${actor.pid}/fd`, 2], () => actor.release(held));
    expect(end).toEqual({
      status: 0,
      stdout: `Application 'bot': not running any more (PID ${actor.pid}, which was sent no signal)\n`,
    });
    await actor.end();
  });

  test('the holder, for another one: that one is told', async () => {
    const { directory } = here();
    const [first, second] = [await Actor.start(), await Actor.start()];
    const held = await first.lock('bot', { directory });
    const args = ['check', 'bot', '--json', '--directory', directory];
    const { stdout } = await looking(args, [`/proc/${first.pid}/fd`, 1], async () => {
      await first.release(held);
      await second.lock('bot', { directory });
    });
    expect(JSON.parse(stdout)).toMatchObject({ held: true, holders: [{ pid: second.pid }] });
    expect(JSON.parse(stdout)).toMatchObject({ unknown: [] });
  });

  test('one of two readers: it is not told to be one', async () => {
    const { directory } = here();
    const options = { directory, shared: true };
    const [first, second] = [await Actor.start(), await Actor.start()];
    const held = await first.lock('bot', options);
    await second.lock('bot', options);
    const args = ['check', 'bot', '--json', '--directory', directory];
    const go = () => first.release(held);
    const { stdout } = await looking(args, [`/proc/${first.pid}/fd`, 1], go);
    expect(JSON.parse(stdout)).toMatchObject({ shared: true, holders: [{ pid: second.pid }] });
  });

  test('a reader, for a writer: nobody is told to read', async () => {
    const { directory } = here();
    const [reader, writer] = [await Actor.start(), await Actor.start()];
    const held = await reader.lock('bot', { directory, shared: true });
    const args = ['check', 'bot', '--json', '--directory', directory];
    const { stdout } = await looking(args, ['/proc/locks', 2], async () => {
      await reader.release(held);
      await writer.lock('bot', { directory });
    });
    expect(JSON.parse(stdout)).toMatchObject({ shared: false, holders: [{ pid: writer.pid }] });
  });
});

describe('a holder whose descriptors do not show the lock', () => {
  const locked = `import fcntl, os, sys
fd = os.open(sys.argv[1], eval(sys.argv[2]))
fcntl.flock(fd, fcntl.LOCK_EX)
print('acquired', flush=True)
sys.stdin.read()`;

  /** It is named by the table's word, with the reason, to starters too; and no signal is sent on that. */
  async function isNamed(pid: number, directory: string): Promise<void> {
    const { held, holders, unknown } = inspect('bot', { directory });
    expect({ held, pids: holders.map((one) => one.pid) }).toEqual({ held: true, pids: [pid] });
    expect(unknown).toContainEqual(expect.stringContaining('what the lock table says'));
    await expect(lock('bot', { directory })).rejects.toMatchObject({
      code: 'LOCK_HELD',
      holder: { pid },
    });
    await expect(killRunning('bot', { directory, force: true })).rejects.toMatchObject({
      code: 'LOCK_PERMISSION',
      message: expect.stringMatching(`PID ${pid} holds it by the word of the lock table alone`),
    });
    expect(inspect('bot', { directory }).held).toBe(true);
  }

  test('because it opened the file as one who only asks does', async (context) => {
    requireWholeTable(context);
    const python = requirePython(context, 'fcntl');
    const { directory } = here();
    const flags = 'os.O_RDONLY | os.O_APPEND | os.O_CREAT';
    const holder = start(python, ['-c', locked, lockPath('bot', { directory }), flags], PIPES);
    await holder.says('acquired');
    await isNamed(holder.pid, directory);
  });

  test('because it opened the file under another name, by a bind mount', async (context) => {
    requireRoot(context);
    requireWholeTable(context);
    requireProgram(context, 'unshare');
    const python = requirePython(context, 'fcntl');
    const { directory } = here();
    lockSync('bot', { directory }).release();
    const script = `cd "$1"; touch other; mount --bind bot.lock other; exec '${python}' -c "$2" other os.O_RDWR`;
    const words = ['--mount', 'sh', '-c', script, 'sh', directory, locked];
    const holder = start('unshare', words, PIPES);
    await holder.says('acquired');
    await isNamed(holder.pid, directory);
  });
});

test('a record that another user forged is not believed', async (context) => {
  requireRoot(context);
  requireProgram(context, 'setpriv');
  const { directory } = here();
  chmodSync(directory, 0o1777);
  const path = lockPath('bot', { directory });
  const asNobody = (...args: string[]) => run('setpriv', [...AS_NOBODY.slice(1), ...args]);
  await asNobody('touch', path); // first there: the file is theirs
  using _held = lockSync('bot', { directory, metadata: 'true' });
  const record = JSON.parse(readFileSync(path, 'utf8'));
  expect(record.pid).toBe(process.pid);
  const forged = { ...record, metadata: 'forged', acquiredAt: '2001-01-01T00:00:00.000Z' };
  await asNobody('sh', '-c', 'printf " %s" "$0" > "$1"', JSON.stringify(forged), path);
  expect(readFileSync(path, 'utf8')).toContain('forged');
  const status = inspect('bot', { directory });
  expect(status.holders).toMatchObject([
    { pid: process.pid, metadata: undefined, acquiredAt: undefined, hostname: undefined },
  ]);
  expect(status.unknown).toEqual([
    expect.stringContaining('another user than the holder can write'),
  ]);

  // Nor one that everybody could have.
  const own = lockSync('open', { directory, metadata: 'true' });
  expect(inspect('open', { directory }).holders[0]?.metadata).toBe('true');
  chmodSync(own.path, 0o1666);
  expect(inspect('open', { directory }).holders[0]?.metadata).toBeUndefined();
  own.release();
});

describe('another user', () => {
  test('is told what the system lets them know, and why not more', async (context) => {
    requireSecondUser(context);
    requireProgram(context, 'flock');
    const { directory } = here();
    const path = lockPath('bot', { directory });
    const holder = start('flock', ['-F', path, 'sh', '-c', 'echo on; read x'], PIPES);
    await holder.says('on');
    const stranger = await Actor.start({ prefix: AS_NOBODY });
    const { holders, unknown } = await stranger.inspect('bot', { directory });
    expect(holders).toMatchObject([{ pid: holder.pid, user: 'root', source: 'kernel' }]);
    expect(holders[0]).not.toHaveProperty('executable');
    expect(holders[0]).not.toHaveProperty('cwd');
    expect(unknown).toContainEqual(expect.stringContaining("Another user's process"));
  });

  test('from whom /proc hides processes is not told that it is free', async (context) => {
    requireSecondUser(context);
    requireProgram(context, 'unshare');
    const { directory } = here();
    using _held = lockSync('bot', { directory });
    const script = 'mount -o remount,hidepid=2 /proc && exec "$@"';
    const command = [...AS_NOBODY, process.execPath, CLI, 'check', 'bot', '--directory', directory];
    const end = await run('unshare', [
      '--mount',
      'sh',
      '-c',
      `mount -t proc proc /proc && ${script}`,
      'sh',
      ...command,
    ]);
    expect(end).toMatchObject({ status: 0, stderr: '' });
    expect(end.stdout).toMatch(/RUNNING\n.*\n❔ Who holds it could not be found.*hidden/);
  });
});

describe('a zombie', () => {
  test('that was the holder holds nothing', async (context) => {
    const python = requirePython(context, 'fcntl');
    const { directory } = here();
    const code = `import fcntl, os, sys
pid = os.fork()
if pid == 0:
    f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print('zombie=%d' % pid, flush=True); sys.stdin.read()`;
    const parent = start(python, ['-c', code, lockPath('bot', { directory })], PIPES);
    await parent.says('zombie=');
    expect(inspect('bot', { directory })).toMatchObject({ held: false, holders: [] });
  });

  // A kill that finds one would refuse to signal who may not be looked into.
  test('is told from a process that this user may not look into', async (context) => {
    requireRoot(context);
    requireProgram(context, 'setpriv');
    const python = requirePython(context, 'os', AS_NOBODY);
    const code = `import os, sys
pid = os.fork()
if pid == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print('zombie=%d' % pid, flush=True); sys.stdin.read()`;
    const [command = '', ...prefix] = AS_NOBODY;
    const parent = start(command, [...prefix, python, '-c', code], PIPES);
    const zombie = Number(/zombie=(\d+)/.exec(await parent.says('zombie='))?.[1]);
    const { directory } = here();
    using held = lockSync('bot', { directory });
    const asUser = (pid: number) => {
      process.seteuid?.(NOBODY);
      try {
        return new LockTable().callersOf(pid, held.path);
      } finally {
        process.seteuid?.(0);
      }
    };
    expect([zombie, 1].map(asUser)).toEqual([[], undefined]);
  });

  // Its own files are root's to look at; those of its threads are its user's.
  test.for([
    ['this user', []],
    ['a user who is not root', AS_NOBODY],
  ] as const)(
    'whose threads live on is the holder, and can be killed by %s',
    async ([, as], context) => {
      if (as.length > 0) requireSecondUser(context);
      const python = requirePython(context, 'ctypes', as);
      const { directory } = here();
      chmodSync(directory, 0o777);
      const code = `import ctypes, fcntl, platform, sys, threading, time
f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX)
threading.Thread(target=time.sleep, args=(60,)).start()
print('on', flush=True)
exit_thread = {'x86_64': 60, 'aarch64': 93}[platform.machine()]
ctypes.CDLL(None).syscall(exit_thread, 0)`;
      const command = [...as, python, '-c', code, lockPath('bot', { directory })];
      const holder = start(command[0] as string, command.slice(1));
      await holder.says('on');
      await expect
        .poll(() => inspect('bot', { directory }).holders[0]?.status, POLL)
        .toBe('zombie');
      expect(inspect('bot', { directory }).holders).toMatchObject([
        {
          pid: holder.pid,
          argv: expect.arrayContaining(['-c', code]),
          cwd: process.cwd(),
          executable: expect.stringContaining('python'),
          memoryBytes: expect.any(Number),
          source: 'kernel',
        },
      ]);
      const killer = [...as, process.execPath, CLI, 'kill', 'bot', '--directory', directory];
      const { status, stderr } = await run(killer[0] as string, killer.slice(1));
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect((await holder.finished).status).toBe('SIGTERM');
    },
  );
});

test('a stopped holder is shown as stopped, and holds', async () => {
  const { directory } = here();
  const holder = holding(directory, ['sh', '-c', 'echo on; kill -STOP $$; read x']);
  await holder.says('on');
  await expect.poll(() => inspect('bot', { directory }).holders[0]?.status, POLL).toBe('stopped');
  const { status, stdout } = await cli('check', 'bot', '--directory', directory);
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringMatching(
      /PID: \d+, lock held for \d+ s\n[\s\S]*Process status: stopped\n/,
    ),
  });
});

describe('a holder in a container with its own PID namespace', () => {
  const UNSHARE = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];

  test('is known outside by its pid there, with its own record', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { directory } = here();
    const before = Date.now();
    const script = 'echo on $$; read x';
    await holding(directory, ['sh', '-c', script], UNSHARE).says('on 1\n');
    const { holders, unknown } = inspect('bot', { directory });
    expect(holders).toMatchObject([
      { argv: ['sh', '-c', script], hostname: expect.any(String), source: 'kernel' },
    ]);
    const [holder] = holders as [Holder];
    expect(holder.pid).not.toBe(1);
    expect(readFileSync(`/proc/${holder.pid}/status`, 'utf8')).toMatch(/^NSpid:\t\d+.*\t1$/m);
    expect(Math.abs((holder.acquiredAt?.getTime() ?? 0) - before)).toBeLessThan(20_000);
    expect(unknown).toEqual([]);
    expect(await killRunning('bot', { directory, force: true })).toBe(true);
  });

  test('is known in another one by its record only, which says so', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { directory } = here();
    await holding(directory, ['sh', '-c', 'echo on; read x'], UNSHARE).says('on');
    const [command = '', ...args] = [...UNSHARE, process.execPath, CLI, 'check', 'bot'];
    const end = await run(command, [...args, '--directory', directory]);
    expect(end.status).toBe(0);
    expect(end.stdout).toMatch(/❔ The holder is outside of this PID namespace/);
    expect(end.stdout).toMatch(/❔ What is told of the holder is what its owner record says/);
  });
});

describe('clocks', () => {
  test('that were set change neither who holds it nor who that is', async (context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    const { directory } = here();
    const prefix = ['unshare', '--time', '--boottime', '100000', '--fork', '--kill-child'];
    await holding(directory, ['sh', '-c', 'echo on $$; read x'], prefix).says('on');
    const { holders, unknown } = inspect('bot', { directory });
    // Another clock makes another start token: then the record is not believed.
    expect(holders).toMatchObject([{ argv: ['sh', '-c', 'echo on $$; read x'], source: 'kernel' }]);
    expect(holders[0]?.acquiredAt).toBeUndefined();
    expect(unknown).toHaveLength(1);
    const started = holders[0]?.processStartedAt?.getTime() as number;
    expect(Math.abs(Date.now() - started)).toBeLessThan(20_000);
  });

  test.each([
    ['forward', 3_600_000],
    ['back', -365 * 86_400_000],
  ])('that jumped %s make no age of a lock up', async (_, jump) => {
    const { directory } = here();
    using held = lockSync('bot', { directory });
    const text = readFileSync(held.path, 'utf8');
    const jumped = new Date(Date.now() + jump).toISOString();
    const record = text.replace(/("acquiredAt":")[^"]+/, `$1${jumped}`);
    writeFileSync(held.path, record, { flag: 'r+' });
    expect(inspect('bot', { directory }).holders[0]?.acquiredAt?.toISOString()).toBe(jumped);
    const at = ['--directory', directory];
    const checked = await cli('check', 'bot', ...at);
    expect(checked.stdout).not.toContain('held for');
    expect(checked.stdout).toContain(
      '❔ How long it has been held is not known: the clock was set',
    );
    expect((await cli('list', ...at)).stdout).toMatch(/^bot +exclusive +\d+ +\S+ +\? /m);
  });

  test('tell the same start of a process at each look, whoever looks', async () => {
    const { directory } = here();
    using _held = lockSync('bot', { directory });
    const seen = new Set<string | undefined>();
    for (let i = 0; i < 200; i++) {
      seen.add(inspect('bot', { directory }).holders[0]?.processStartedAt?.toISOString());
    }
    const other = await Actor.start();
    const [holder] = (await other.inspect('bot', { directory })).holders;
    seen.add(holder?.processStartedAt as unknown as string);
    expect(seen.size).toBe(1);
    // The kernel has the boot in whole seconds: never late, and up to one second early.
    const truth = Date.now() - process.uptime() * 1000;
    const told = Date.parse([...seen][0] as string);
    expect(truth - told).toBeLessThan(5000);
    expect(truth - told).toBeGreaterThan(-1000);
  });
});

describe('a holder of hostile names', () => {
  test('is shown as text: its name, a command line of 1 MB, broken UTF-8', async (context) => {
    const python = requirePython(context, 'ctypes');
    const { directory } = here();
    // Becomes a program that is called what is no text, and holds the lock that it inherited.
    const code = `import ctypes, fcntl, os, sys
if sys.argv[1] != 'on':
    f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(f, fcntl.LOCK_EX); os.set_inheritable(f, True)
    names = [b'\\xff\\x1b[2J) R 1 (', b'-c', os.fsencode(sys.orig_argv[2]), b'on']
    os.execv(sys.executable, names + [b'\\x1b]0;owned\\x07\\xc3\\x28' + b'x' * 100000] * 10)
PR_SET_NAME = 15
ctypes.CDLL(None).prctl(PR_SET_NAME, b') Z 1 (\\x1b[2J\\n', 0, 0, 0)
print('on', flush=True); sys.stdin.read()`;
    const holder = start(python, ['-c', code, lockPath('bot', { directory })], PIPES);
    await holder.says('on');
    expect(readFileSync(`/proc/${holder.pid}/stat`, 'latin1')).toContain('() Z 1 (');

    const [one] = inspect('bot', { directory }).holders;
    expect(one).toMatchObject({
      pid: holder.pid,
      status: expect.stringMatching(/sleeping|running/),
    });
    expect(one?.argv).toHaveLength(14);
    expect(one?.argv?.join('').length).toBeGreaterThan(1_000_000);
    const at = ['--directory', directory];
    const [checked, listed, refused, json] = await Promise.all([
      cli('check', 'bot', ...at),
      cli('list', ...at),
      cli('run', 'bot', ...at, '--', 'true'),
      cli('list', ...at, '--json'),
    ]);
    for (const { stdout, stderr } of [checked, listed, refused]) {
      expect(stdout + stderr).toContain('\\u{1b}[2J) R 1 (');
      expect(stdout + stderr).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}]/u);
      expect((stdout + stderr).length).toBeLessThan(20_000);
    }
    expect([checked.status, listed.status, refused.status]).toEqual([0, 0, 75]);
    expect(JSON.parse(json.stdout)[0].holders[0].argv).toEqual(one?.argv);
    expect(json.stdout).not.toMatch(/(?!\n)\p{Cc}/u);
  });
});

const mounts: Record<string, (directory: string) => string> = {
  tmpfs: (directory) => `mount -t tmpfs tmpfs '${directory}'`,
  overlay: (directory) =>
    `mount -t tmpfs tmpfs '${directory}' && cd '${directory}' && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay m && mount --move m '${directory}'`,
  btrfs: (directory) =>
    `truncate -s 120M '${directory}.img' && mkfs.btrfs -q '${directory}.img' >/dev/null && mount -o loop '${directory}.img' '${directory}'`,
  xfs: (directory) =>
    `truncate -s 320M '${directory}.img' && mkfs.xfs -q '${directory}.img' >/dev/null && mount -o loop '${directory}.img' '${directory}'`,
};

describe('on another file system', () => {
  test.for(Object.keys(mounts))('%s: the holder is found', async (type, context) => {
    requireRoot(context);
    requireProgram(context, 'unshare');
    if (type === 'btrfs' || type === 'xfs') requireProgram(context, `mkfs.${type}`);
    const { directory } = here();
    const script = `${mounts[type]?.(directory)} || exit 99; cd /; exec "$@"`;
    const at = ['--directory', directory];
    const holder = [process.execPath, CLI, 'run', 'bot', ...at, '--', 'sh', '-c', 'echo $$'];
    const look = `'${process.execPath}' '${CLI}' list --json ${at.join(' ')}`;
    const end = await run('unshare', [
      '--mount',
      'sh',
      '-c',
      script,
      'sh',
      ...holder.slice(0, -1),
      `echo $$; ${look}`,
    ]);
    requireMounted(context, end.status !== 99, type);
    const pid = Number.parseInt(end.stdout, 10);
    expect(JSON.parse(end.stdout.replace(/^.*\n/, ''))).toMatchObject([
      { name: 'bot', held: true, holders: [{ pid, source: 'kernel' }], unknown: [] },
    ]);
  });
});

// Copies of a subvolume have the same inode numbers, and /proc/locks one device for all of them.
describe('on btrfs', () => {
  test('a lock is not taken for that of a snapshot: its holder is not shown there, nor killed', async (context) => {
    requireRoot(context);
    for (const program of ['unshare', 'mkfs.btrfs', 'btrfs']) requireProgram(context, program);
    const { directory } = here();
    const mount = mounts.btrfs?.(directory);
    const node = `'${process.execPath}' '${CLI}'`;
    const script = `{ ${mount} && cd '${directory}' && btrfs subvolume create data; } >&2 || exit 99
      ${node} run bot --directory '${directory}/data' -- true
      btrfs subvolume snapshot data copy >&2
      ${node} run bot --directory '${directory}/data' -- sh -c 'echo on; exec sleep 60' | {
        read on
        ${node} check bot --directory '${directory}/copy'
        ${node} kill bot --directory '${directory}/copy'
        ${node} kill bot --directory '${directory}/data'
      }`;
    const end = await run('unshare', ['--mount', 'sh', '-c', script]);
    requireMounted(context, end.status !== 99, 'btrfs');
    expect(end.stdout).toMatch(
      /^Application 'bot': RUNNING\nThe holder can not be identified from here\n❔ .*snapshot.*\n/,
    );
    expect(end.stderr).toMatch(/still running; the holder can not be found/);
    expect(end.stdout).toMatch(/Application 'bot': stopped \(PID \d+\)\n$/);
  });
});

describe('on a network file system', () => {
  test('a lock of another computer is refused, and said to be out of sight', async (context) => {
    requireRoot(context);
    requireWholeTable(context);
    requireProgram(context, 'unshare');
    const python = requirePython(context, 'ctypes');
    const { directory } = here();
    const server = fileURLToPath(new URL('./support/remote_fs.py', import.meta.url));
    const node = `'${process.execPath}' '${CLI}'`;
    const at = `--directory '${directory}'`;
    const script = `${node} check bot --json ${at}; echo
      ${node} wait bot --timeout 0 ${at} || echo not free; echo
      ${node} run bot ${at} -- true 2>&1`;
    const end = await run('unshare', ['--mount', python, server, directory, 'sh', '-c', script]);
    requireMounted(context, end.status !== 99, 'FUSE');
    const [checked = '', waited, refused] = end.stdout.split('\n\n');
    const reason = expect.stringContaining('on a network file system');
    expect(JSON.parse(checked)).toMatchObject({ held: false, holders: [], unknown: [reason] });
    expect(waited).toBe('not free');
    expect(refused).toMatch(/^❌ Another instance.*\n❔ The lock file is on a network file system/);
    expect(end.status).toBe(75);
  });
});
