// Bad input gets a clear error, and nothing is created.
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  checkRunning,
  inspect,
  killRunning,
  LockError,
  list,
  lock,
  lockPath,
  lockSync,
  SingleInstance,
  tryLock,
  withLock,
} from '../dist/index.js';
import { isWindowsDirectory } from '../src/directory.js';
import { freshDirectory, freshName } from './support/scratch.js';

const BAD_NAMES: unknown[] = [
  '',
  '.',
  '..',
  '../x',
  'a/b',
  'a\\b',
  'a\0b',
  'a b',
  'ä',
  '.hidden',
  '-x',
  '_x',
  'dot.',
  'con',
  'CON',
  'nul.txt',
  'com1',
  'LPT9.lock',
  'a'.repeat(201),
  42,
  null,
  undefined,
  {},
  [],
  Symbol('x'),
];

const GOOD_NAMES = [
  'a',
  '0',
  'trading_bot',
  'A-b.c_1',
  'console',
  'com',
  'com10',
  'a'.repeat(200),
  'a_',
  'a-',
];

// Each call of the API that takes a name, as something that throws or rejects.
const CALLS: Record<string, (name: never, options?: never) => unknown> = {
  lock,
  lockSync,
  tryLock,
  withLock: (name, options) =>
    options === undefined ? withLock(name, () => {}) : withLock(name, options, () => {}),
  lockPath,
  inspect,
  checkRunning,
  killRunning,
  SingleInstance: (name, options) => new SingleInstance(name, options),
};

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe.each(Object.keys(CALLS))('%s', (api) => {
  const call = CALLS[api] as (name: unknown, options?: unknown) => unknown;

  test.each(BAD_NAMES)('refuses the name %j', async (name) => {
    const error = await errorOf(() => call(name));
    expect(error).toBeInstanceOf(LockError);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: 'LOCK_INVALID_NAME' });
  });

  test.each([
    [{ unknown: 1 }, 'unknown', '1'],
    [{ directory: 'relative/path' }, 'directory', 'relative/path'],
    [{ directory: '' }, 'directory', '""'],
    [{ directory: '/with\0null' }, 'directory', 'null'],
    [{ directory: 7 }, 'directory', '7'],
    [{ scope: 'global' }, 'scope', 'global'],
    [{ scope: 'user', directory: '/tmp' }, 'scope', 'user'],
  ])('refuses the options %j, naming option and value', async (options, option, value) => {
    const error = (await errorOf(() => call(freshName(), options))) as LockError;
    expect(error).toBeInstanceOf(LockError);
    expect(error).toMatchObject({ code: 'LOCK_INVALID_OPTION' });
    expect(error.message).toContain(`'${option}'`);
    expect(error.message).toContain(value);
  });

  test.each([null, 'x', 5])('refuses %j as options', async (options) => {
    expect(await errorOf(() => call(freshName(), options))).toMatchObject({
      code: 'LOCK_INVALID_OPTION',
    });
  });
});

describe('the options of acquiring', () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;

  test.each([
    [{ wait: -1 }],
    [{ wait: Number.NaN }],
    [{ wait: '5' }],
    [{ wait: Number.POSITIVE_INFINITY }],
    [{ wait: 2 ** 31 }],
    [{ wait: null }],
    [{ shared: 1 }],
    [{ signal: {} }],
    [{ metadata: () => {} }],
    [{ metadata: circular }],
    [{ metadata: 1n }],
    [{ metadata: 'x'.repeat(1023) }],
  ])('%o is refused and creates nothing', async (options) => {
    const directory = freshDirectory();
    const error = await errorOf(() => lock('x', { directory, ...options } as never));
    expect(error).toMatchObject({ code: 'LOCK_INVALID_OPTION' });
    expect(readdirSync(directory)).toEqual([]);
  });

  test('undefined counts as left out', () => {
    const options = { wait: undefined, shared: undefined, scope: undefined, metadata: undefined };
    lockSync('x', { directory: freshDirectory(), ...options }).release();
  });

  test('lockSync takes no signal, and says what to use', () => {
    const { signal } = new AbortController();
    expect(() => lockSync('x', { directory: freshDirectory(), signal } as never)).toThrow(
      /'signal'.*wait/,
    );
  });

  test('tryLock takes no wait', () => {
    expect(() => tryLock('x', { directory: freshDirectory(), wait: true } as never)).toThrow(
      /'wait'/,
    );
  });

  test('a signal that has aborted already opens nothing', async () => {
    const directory = freshDirectory();
    const reason = new Error('enough');
    const error = await errorOf(() => lock('x', { directory, signal: AbortSignal.abort(reason) }));
    expect(error).toBe(reason);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('names and paths', () => {
  test('a URL in the place of a name is not shown: it may have a password', () => {
    expect(() => lockPath('postgres://u:open-sesame@h/d')).toThrow(/^(?!.*sesame).*a URL/);
  });

  test.each(GOOD_NAMES)('%s is a name', (name) => {
    expect(lockPath(name)).toBe(`/tmp/${name}.lock`);
  });

  test('a path depends on neither the working directory nor the environment', () => {
    const before = [lockPath('x'), lockPath('x', { scope: 'user' })];
    const { HOME, TMPDIR, XDG_STATE_HOME } = process.env;
    const cwd = process.cwd();
    try {
      Object.assign(process.env, {
        HOME: '/nowhere',
        TMPDIR: '/nowhere',
        XDG_STATE_HOME: '/nowhere',
      });
      process.chdir('/');
      expect([lockPath('x'), lockPath('x', { scope: 'user' })]).toEqual(before);
    } finally {
      process.chdir(cwd);
      for (const [key, value] of Object.entries({ HOME, TMPDIR, XDG_STATE_HOME })) {
        if (value === undefined) delete process.env[key];
        else process.env[key] = value;
      }
    }
  });

  test.each([
    'C:\\x',
    'c:/x',
    'C:\\',
    'C:\\x\\..\\y\\.',
    'C:\\.hidden\\..x',
    '\\\\server\\share',
    '//server/share/x/',
  ])('%s is a directory of Windows', (directory) => {
    expect(isWindowsDirectory(directory)).toBe(true);
  });

  test.each([
    'x',
    'C:',
    'C:x',
    '\\x',
    '/x',
    '\\\\server',
    '\\\\server\\',
    '\\\\server\\..',
    '\\\\?\\C:\\x',
    '//?/C:/x',
    '\\\\.\\C:\\x',
    'C:\\dir.',
    'C:\\dir ',
    'C:\\dir. \\x',
    'C:/dir./',
    'C:\\...',
    '',
  ])('%s is none that means the same to every program', (directory) => {
    expect(isWindowsDirectory(directory)).toBe(false);
  });

  test('asking creates nothing', () => {
    const name = freshName();
    expect(checkRunning(name)).toBe(false);
    expect(inspect(name)).toMatchObject({ held: false, holders: [], shared: false });
    expect(existsSync(lockPath(name))).toBe(false);
    expect(list({ directory: '/nonexistent' })).toEqual([]);
  });
});
