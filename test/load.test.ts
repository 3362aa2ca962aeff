// A native part that is missing, broken or forbidden: LOCK_NATIVE, which says what to do; never a
// crash, and never another lock.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Finished, REPOSITORY, run } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const BUILT = join('build', 'Release', 'kernel_lock.node');
const PREBUILT = join(
  'prebuilds',
  `${process.platform}-${process.arch}`,
  `kernel-lock${process.arch === 'arm' ? '.armv7' : ''}${process.platform === 'linux' ? '.glibc' : ''}.node`,
);
// prebuildify leaves no build behind.
const ADDON = readFileSync(
  [BUILT, PREBUILT].map((file) => join(REPOSITORY, file)).find((file) => existsSync(file)) ?? BUILT,
);
const EXIT_UNAVAILABLE = 69;

// Tries every way to acquire, and tells what came of it and which addon was loaded.
const PROGRAM = `
import { createRequire } from 'node:module';
import { LockNativeError, lock, lockSync, SingleInstance, tryLock, withLock } from 'kernel-lock';
const [name] = process.argv.slice(2);
const outcomes = [];
for (const way of [
  () => lock(name),
  () => lockSync(name),
  () => tryLock(name),
  () => withLock(name, () => {}),
  () => new SingleInstance(name, { onConflict: 'throw', logger: { info() {}, warn() {}, error() {} } }),
]) {
  try {
    (await way())?.release();
    outcomes.push({ code: 'none' });
  } catch (error) {
    const { code, message, cause } = error;
    outcomes.push({ code, message, native: error instanceof LockNativeError, cause: cause?.message });
  }
}
const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => file.endsWith('.node'));
console.log(JSON.stringify({ outcomes, loaded }));
`;

interface Outcome {
  code: string;
  message?: string;
  native?: boolean;
  cause?: string;
}

/** A project with the package in it, and nothing native. */
function project(): { directory: string; root: string } {
  const directory = freshDirectory('project');
  const root = join(directory, 'node_modules', 'kernel-lock');
  cpSync(join(REPOSITORY, 'dist'), join(root, 'dist'), { recursive: true });
  cpSync(join(REPOSITORY, 'package.json'), join(root, 'package.json'));
  writeFileSync(join(directory, 'program.mjs'), PROGRAM);
  return { directory, root };
}

function put(file: string, content: Uint8Array | string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

async function tryAll(directory: string, ...flags: string[]) {
  const program = join(directory, 'program.mjs');
  const end = await run(process.execPath, ['--no-warnings', ...flags, program, freshName()]);
  expect(end).toMatchObject({ status: 0, stderr: '' });
  return JSON.parse(end.stdout) as { outcomes: Outcome[]; loaded: string[] };
}

function runUnderLock(root: string, ...flags: string[]): Promise<Finished> {
  const args = [join(root, 'dist', 'cli.js'), 'run', freshName(), '--', 'echo', 'ran'];
  return run(process.execPath, ['--no-warnings', ...flags, ...args]);
}

/** Every way to acquire throws LOCK_NATIVE with this advice, and the command line prints it. */
async function expectAdvice(
  { directory, root }: { directory: string; root: string },
  advice: RegExp,
  ...flags: string[]
): Promise<void> {
  const [{ outcomes, loaded }, { status, stdout, stderr }] = await Promise.all([
    tryAll(directory, ...flags),
    runUnderLock(root, ...flags),
  ]);
  expect(loaded).toEqual([]);
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ code: 'LOCK_NATIVE', native: true });
    expect(outcome.message).toMatch(advice);
    expect(outcome.cause).toMatch(/./);
  }
  expect({ status, stdout }).toEqual({ status: EXIT_UNAVAILABLE, stdout: '' });
  expect(stderr).toMatch(/^kernel-lock: [^\n]+\n$/);
  expect(stderr).toMatch(advice);
}

/** The addon as the linker of another processor would have labelled it. */
function ofAnotherProcessor(): Buffer {
  const [MACHINE, X86_64, AARCH64] = [18, 62, 183];
  const copy = Buffer.from(ADDON);
  copy.writeUInt16LE(copy.readUInt16LE(MACHINE) === X86_64 ? AARCH64 : X86_64, MACHINE);
  return copy;
}

const onLinux = process.platform === 'linux';
const reinstall =
  /does not load here \(.+\); install kernel-lock again, or compile it: `npm rebuild/;

describe('a broken prebuild says what to do', () => {
  const cases: [string, Uint8Array | string][] = [
    ['an empty file', ''],
    ['text', 'version https://git-lfs.github.com/spec/v1\n'],
    ['noise', Buffer.alloc(ADDON.length, 0xa5)],
    ['zeros, as a power cut leaves them', Buffer.alloc(ADDON.length)],
    ['a Mach-O file', Buffer.from('cffaedfe0c000001000000000600000010000000', 'hex')],
    ['a Windows DLL', Buffer.from('4d5a90000300000004000000ffff0000', 'hex')],
    ...(onLinux ? [['another processor', ofAnotherProcessor()] as [string, Buffer]] : []),
  ];
  test.each(cases)('%s', async (_, content) => {
    const place = project();
    put(join(place.root, PREBUILT), content);
    await expectAdvice(place, reinstall);
  });

  test('a directory in its place', async () => {
    const place = project();
    put(join(place.root, PREBUILT, 'index.js'), 'console.log("ran")');
    await expectAdvice(place, reinstall);
  });

  // The loader maps what the headers promise; beyond the file's end that is a SIGBUS.
  test.each([64, 4096, ADDON.length / 2, ADDON.length - 1])(
    'cut short to %d bytes: an error, not a crash',
    async (length) => {
      const place = project();
      put(join(place.root, PREBUILT), ADDON);
      truncateSync(join(place.root, PREBUILT), Math.floor(length));
      await expectAdvice(place, reinstall);
    },
  );
});

describe('a whole addon is found', () => {
  test.each([
    ['an interrupted compilation', ADDON.subarray(0, 5000)],
    ['another processor', ofAnotherProcessor()],
  ])('as prebuild, beside %s in build/Release', async (_, broken) => {
    const { directory, root } = project();
    put(join(root, BUILT), broken);
    put(join(root, PREBUILT), ADDON);
    const { outcomes, loaded } = await tryAll(directory);
    expect(outcomes.map(({ code }) => code)).toEqual(Array(5).fill('none'));
    expect(loaded).toEqual([join(root, PREBUILT)]);
  });

  test('through a symlinked package', async () => {
    const { directory, root } = project();
    const elsewhere = freshDirectory('store');
    cpSync(root, elsewhere, { recursive: true });
    put(join(elsewhere, PREBUILT), ADDON);
    rmSync(root, { recursive: true });
    symlinkSync(elsewhere, root);
    const { loaded } = await tryAll(directory);
    expect(loaded).toEqual([join(elsewhere, PREBUILT)]);
  });

  test('whatever the environment says about platforms', async () => {
    const { directory, root } = project();
    put(join(root, PREBUILT), ADDON);
    const env = {
      ...process.env,
      LIBC: 'musl',
      npm_config_arch: 'ia32',
      KERNEL_LOCK_PREBUILD: '/',
    };
    const program = join(directory, 'program.mjs');
    const { stdout } = await run(process.execPath, [program, freshName()], { env });
    expect(JSON.parse(stdout).loaded).toEqual([join(root, PREBUILT)]);
  });
});

// What node-gyp-build asks before it compiles; a marker file of Alpine's or LIBC=musl would decide it.
describe('an install compiles', () => {
  const asked = (root: string) => {
    const test = join(REPOSITORY, 'node_modules', 'node-gyp-build', 'build-test.js');
    const env = { ...process.env, LIBC: 'musl' };
    return run(process.execPath, [test], { cwd: root, env });
  };

  test('nothing where a prebuild loads, whatever the environment says of the C library', async () => {
    const { root } = project();
    put(join(root, PREBUILT), ADDON);
    expect((await asked(root)).status).toBe(0);
  });

  test('where none is there, or none that loads', async () => {
    const { root } = project();
    expect((await asked(root)).status).not.toBe(0);
    put(join(root, PREBUILT), ofAnotherProcessor());
    expect((await asked(root)).status).not.toBe(0);
  });
});

describe('no native part', () => {
  const pretend = (property: string, value: string) =>
    `--import=data:text/javascript,Object.defineProperty(process,'${property}',{value:'${value}'})`;

  test('no prebuild and no build: the command that compiles one', () =>
    expectAdvice(
      project(),
      /brings no native addon for .+; compile it: `npm rebuild kernel-lock`/,
    ));

  test.each([
    ['node_modules/.modules.yaml', /`pnpm approve-builds kernel-lock`/],
    ['node_modules/.yarn-state.yml', /"built": true .+ `yarn rebuild kernel-lock`/],
    ['bun.lock', /`bun pm trust kernel-lock`/],
  ])('beside %s, in that manager’s words', async (file, advice) => {
    const place = project();
    put(join(place.directory, file), '');
    await expectAdvice(place, advice);
  });

  test('a processor without a prebuild', () =>
    expectAdvice(project(), /-riscv64; compile it/, pretend('arch', 'riscv64')));

  test('an ARMv6 does not get the prebuild of ARMv7', async () => {
    const place = project();
    put(join(place.root, 'prebuilds', 'linux-arm', 'kernel-lock.armv7.glibc.node'), ADDON);
    const [arm, version] = [
      pretend('arch', 'arm'),
      `--import=data:text/javascript,Object.defineProperty(process,'config',{value:{variables:{arm_version:'6'}}})`,
    ];
    await expectAdvice(place, /for linux-arm; compile it/, arm, version);
    expect((await tryAll(place.directory, arm)).loaded).toHaveLength(1);
  });

  test('an unsupported platform', async () => {
    const place = project();
    put(join(place.root, PREBUILT), ADDON);
    const advice = /no native part for freebsd-.+: it knows Linux, macOS and Windows/;
    await expectAdvice(place, advice, pretend('platform', 'freebsd'));
  });
});

describe('a native part that may not be loaded', () => {
  const whole = () => {
    const place = project();
    put(join(place.root, PREBUILT), ADDON);
    return place;
  };
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';

  test('the permission model without --allow-addons', () =>
    expectAdvice(whole(), /with --allow-addons as well/, permission, '--allow-fs-read=*'));

  test('the permission model without the addon’s folder', async () => {
    const place = whole();
    const readable = [join(place.directory, 'program.mjs'), join(place.root, 'dist', '/')];
    const flags = readable.map((path) => `--allow-fs-read=${path}`);
    const advice = new RegExp(`--allow-fs-read=${place.root}/ as well`);
    await expectAdvice(place, advice, permission, '--allow-addons', ...flags);
  });

  test('--no-addons', () => expectAdvice(whole(), /start node without --no-addons/, '--no-addons'));
});
