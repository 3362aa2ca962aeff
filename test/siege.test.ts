// A second user swaps what is at a lock's path, as fast as it goes, while others acquire and
// release: nothing is written or locked elsewhere, and nobody hangs.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, type TestContext, test } from 'vitest';
import { inspect, lockSync } from '../dist/index.js';
import {
  AS_NOBODY,
  NOBODY,
  requireProgram,
  requirePython,
  requireRoot,
} from './support/requires.js';
import { run, start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const here = (file: string) => fileURLToPath(new URL(`./support/${file}`, import.meta.url));
const ROUNDS = '500';
const SECONDS = '20';
const SECRET = 'precious\n';
/** What is taken for a lock file: one that was just made, and one with a record. */
const EMPTY = '';
const FULL = SECRET.repeat(512).slice(0, 4096);

function swapper(context: TestContext): string {
  requireRoot(context);
  for (const program of ['cc', 'setpriv']) requireProgram(context, program);
  const built = join(freshDirectory('swapper'), 'swapper');
  const { status, stderr } = spawnSync(
    'cc',
    ['-O2', '-D_GNU_SOURCE', '-o', built, here('swapper.c')],
    { encoding: 'utf8' },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return built;
}

/** A directory where everybody may write. */
function open(mode: number): string {
  const directory = freshDirectory();
  chmodSync(directory, mode);
  return directory;
}

/** Everything of a file that a lock could change. */
function stateOf(path: string) {
  const { mode, uid, size, mtimeMs } = statSync(path);
  return { mode, uid, size, mtimeMs, text: readFileSync(path, 'utf8') };
}

interface Told {
  granted: number;
  refused: Record<string, number>;
  wrong: unknown[];
}

/** Two processes of root acquire and release, while the second user swaps. */
async function besiege(
  program: string,
  directory: string,
  kind: string,
  victim: string,
  seconds = SECONDS,
) {
  const path = join(directory, 'bot.lock');
  const [command, ...prefix] = AS_NOBODY as [string, ...string[]];
  // Relative, because ext4 waits for its journal when it removes a link to sixty bytes or more: there is
  // none at the path for as long.
  const args = [...prefix, program, path, kind, relative(directory, victim)];
  const attacker = start(command, args, { cwd: directory });
  await attacker.says('ready\n');
  const forbidden = kind === 'exchange' ? [] : [String(statSync(victim).ino)];
  const besieged = [here('besieged.mjs'), directory, ROUNDS, seconds, ...forbidden];
  const ends = await Promise.all([1, 2].map(() => run(process.execPath, besieged)));
  expect(attacker.child.exitCode).toBeNull();
  attacker.child.kill('SIGKILL');
  await attacker.finished;
  expect(ends.map(({ status, stderr }) => ({ status, stderr }))).toEqual(
    Array(2).fill({ status: 0, stderr: '' }),
  );
  return ends.map(({ stdout }) => JSON.parse(stdout) as Told);
}

function expectHarmless(told: Told[], refused: RegExp): void {
  expect(told.flatMap(({ wrong }) => wrong)).toEqual([]);
  const codes = told.flatMap((one) => Object.keys(one.refused));
  for (const code of codes) expect(code).toMatch(refused);
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
const grants = (told: Told[]) => sum(told.map(({ granted }) => granted));
const refusals = (told: Told[]) => sum(told.flatMap((one) => Object.values(one.refused)));

describe('in a directory where a second user may write', () => {
  test.for([
    ['symlink', 'an empty victim', EMPTY],
    ['symlink', 'a victim of the size of a record', FULL],
    ['hardlink', 'an empty victim', EMPTY],
    ['hardlink', 'a victim of the size of a record', FULL],
    ['fifo', 'the victim', EMPTY],
    ['directory', 'the victim', EMPTY],
    ['socket', 'the victim', EMPTY],
    ['regular', 'the victim', EMPTY],
  ] as const)(
    'a %s at the path, there and gone: %s stays as it was',
    { timeout: 120_000 },
    async ([kind, , content], context) => {
      const program = swapper(context);
      const directory = open(0o777);
      const victim = join(open(0o777), 'victim');
      writeFileSync(victim, content);
      // To a file of root's a link can be made where fs.protected_hardlinks is off, as on macOS,
      // or where it may be written; it is the holder's writing that is looked for.
      chmodSync(victim, kind === 'hardlink' ? 0o666 : 0o600);
      const before = stateOf(victim);
      const seconds = kind === 'regular' ? '5' : SECONDS; // none is refused
      const told = await besiege(program, directory, kind, victim, seconds);
      expectHarmless(told, /^LOCK_(UNSAFE_PATH|PERMISSION|TIMEOUT)$/);
      expect(stateOf(victim)).toEqual(before);
      expect(grants(told)).toBeGreaterThan(0);
      if (kind !== 'regular') expect(refusals(told)).toBeGreaterThan(0);
    },
  );

  test('files change places with the lock file: they stay as they were', {
    timeout: 120_000,
  }, async (context) => {
    const program = swapper(context);
    const directory = open(0o777);
    const victim = join(directory, 'victim');
    const path = join(directory, 'bot.lock');
    writeFileSync(victim, SECRET, { mode: 0o600 });
    writeFileSync(path, '');
    const { ino } = statSync(victim);
    const before = stateOf(victim);
    const told = await besiege(program, directory, 'exchange', victim, '5');
    // Refused is what changed places in each of a thousand rounds: on a quiet machine, now and then.
    expectHarmless(told, /^LOCK_(UNSAFE_PATH|TIMEOUT)$/);
    expect(grants(told)).toBeGreaterThan(0);
    expect(stateOf(statSync(victim).ino === ino ? victim : path)).toEqual(before);
  });

  test.for([
    ['a device', ['mknod', 'c', '1', '3']],
    ['a FIFO', ['mkfifo']],
  ] as const)(
    '%s changes places with the lock file',
    { timeout: 120_000 },
    async ([, [command, ...rest]], context) => {
      const program = swapper(context);
      const directory = open(0o777);
      const thing = join(directory, 'thing');
      expect(spawnSync(command, [thing, ...rest]).status).toBe(0);
      writeFileSync(join(directory, 'bot.lock'), '');
      const told = await besiege(program, directory, 'exchange', thing);
      expectHarmless(told, /^LOCK_(UNSAFE_PATH|TIMEOUT)$/);
      expect(grants(told)).toBeGreaterThan(0);
      expect(refusals(told)).toBeGreaterThan(0);
    },
  );
});

describe('in a sticky directory, as /tmp is', () => {
  test('a link and a file of the second user change places: what the link leads to is left alone', {
    timeout: 120_000,
  }, async (context) => {
    const program = swapper(context);
    const directory = open(0o1777);
    const victim = join(freshDirectory(), 'victim');
    writeFileSync(victim, FULL, { mode: 0o600 });
    const before = stateOf(victim);
    const link = join(directory, 'link');
    const path = join(directory, 'bot.lock');
    const [command, ...prefix] = AS_NOBODY as [string, ...string[]];
    spawnSync(command, [...prefix, 'ln', '-s', victim, link]);
    spawnSync(command, [...prefix, 'touch', path]);
    const told = await besiege(program, directory, 'exchange', link);
    expectHarmless(told, /^LOCK_(UNSAFE_PATH|PERMISSION|TIMEOUT)$/);
    expect(stateOf(victim)).toEqual(before);
    expect(grants(told)).toBeGreaterThan(0);
    expect(refusals(told)).toBeGreaterThan(0);
  });

  // A lease keeps others from opening the file for up to 45 seconds; file servers take them, too.
  test.for([
    ['is not given up: refused at once', 'None', 'LOCK_PERMISSION'],
    ['is given up when asked: acquired', 'fcntl.fcntl(f, 1024, fcntl.F_UNLCK)', 'acquired'],
  ] as const)('a lease on the lock file %s', async ([, answer, outcome], context) => {
    requireRoot(context);
    const python = requirePython(context, 'fcntl', AS_NOBODY);
    const directory = open(0o1777);
    const path = join(directory, 'bot.lock');
    const code = `import fcntl, os, signal, sys
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666)
signal.signal(signal.SIGIO, lambda *_: ${answer})
fcntl.fcntl(f, 1024, fcntl.F_WRLCK)
print('leased', flush=True)
while True: signal.pause()`;
    const [command, ...prefix] = AS_NOBODY as [string, ...string[]];
    await start(command, [...prefix, python, '-c', code, path]).says('leased');
    const before = performance.now();
    const attempt = () => {
      try {
        lockSync('bot', { directory }).release();
        return 'acquired';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(attempt()).toBe(outcome);
    expect(performance.now() - before).toBeLessThan(20_000);
  });

  // The second user may move what lies in a directory of theirs, whoever owns it.
  test('a secret that was moved to the path is locked, but not written, marked or made readable', async (context) => {
    requireRoot(context);
    requireProgram(context, 'setpriv');
    const directory = open(0o1777);
    const theirs = freshDirectory();
    chownSync(theirs, NOBODY, NOBODY);
    const path = join(directory, 'bot.lock');
    writeFileSync(join(theirs, 'secret'), SECRET, { mode: 0o600 });
    const before = stateOf(join(theirs, 'secret'));
    const [command, ...prefix] = AS_NOBODY as [string, ...string[]];
    expect(spawnSync(command, [...prefix, 'mv', join(theirs, 'secret'), path]).status).toBe(0);
    const held = lockSync('bot', { directory });
    expect(inspect('bot', { directory })).toMatchObject({
      held: true,
      holders: [{ pid: process.pid, acquiredAt: undefined, source: 'kernel' }],
    });
    expect(stateOf(path)).toEqual(before);
    held.release();
    expect(stateOf(path)).toEqual(before);
  });
});
