// The directory of scope `user`: nobody else may enter it, or have put it there.
import { chmodSync, chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, type TestContext, test } from 'vitest';
import { lockPath } from '../dist/index.js';
import { program } from './support/instance.js';
import { NOBODY, requireProgram, requireRoot } from './support/requires.js';
import { CLI, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const DIRECTORY = dirname(lockPath('bot', { scope: 'user' }));
const STATE = dirname(DIRECTORY);
// A home of the test's own, by a mount that nobody else sees.
const SCRIPT = `mkdir -p '${STATE}' && mount --bind "$1" '${STATE}' && shift && exec "$@"`;

/** Runs a program where `state` is in the place of `~/.local/state`. */
function at(state: string, ...command: string[]) {
  return run('unshare', ['--mount', 'sh', '-c', SCRIPT, 'sh', state, ...command]);
}

const scopeUser = (state: string) =>
  at(state, process.execPath, CLI, 'run', 'bot', '--scope', 'user', '--', 'echo', 'ran');

const CASES: Record<string, { why: RegExp; make(path: string): void }> = {
  'open to others': {
    why: /is open to others \(mode 755\); close it: chmod 700 '/,
    make(path) {
      mkdirSync(path);
      chmodSync(path, 0o755);
    },
  },
  "another user's": {
    why: /belongs to another user \(uid 65534\)/,
    make(path) {
      mkdirSync(path, { mode: 0o700 });
      chownSync(path, NOBODY, NOBODY);
    },
  },
  'a link, even to a directory of that kind': {
    why: /is not a directory/,
    make(path) {
      mkdirSync(`${path}.target`, { mode: 0o700 });
      symlinkSync('kernel-lock.target', path);
    },
  },
  'a file': { why: /is not a directory/, make: (path) => writeFileSync(path, '') },
};

function needs(context: TestContext): void {
  requireRoot(context);
  requireProgram(context, 'unshare');
}

describe('the directory of scope user', () => {
  let state: string;
  let path: string;
  beforeEach(() => {
    state = freshDirectory('state');
    path = join(state, 'kernel-lock');
  });

  test('is made with mode 0700, and used', async (context) => {
    needs(context);
    const stat = `stat -c %a:%u '${DIRECTORY}'`;
    const args = ['run', 'bot', '--scope', 'user', '--', 'sh', '-c', stat];
    expect(await at(state, process.execPath, CLI, ...args)).toMatchObject({ stdout: '700:0\n' });
    expect((await scopeUser(state)).stdout).toBe('ran\n'); // once more
  });

  test.for(Object.keys(CASES))(
    'that is %s is refused, and no lock is made there',
    async (label, context) => {
      needs(context);
      const { why, make } = CASES[label] as (typeof CASES)[string];
      make(path);
      const end = await scopeUser(state);
      expect({ status: end.status, stdout: end.stdout }).toEqual({ status: 73, stdout: '' });
      expect(end.stderr).toMatch(/^kernel-lock: Scope 'user' has no safe place: .*\n$/);
      expect(end.stderr).toMatch(why);
      expect(existsSync(join(path, 'bot.lock'))).toBe(false);
    },
  );

  // A socket of somebody else's would get the arguments.
  test('that is open to others gets no arguments of a second instance', async (context) => {
    needs(context);
    const directory = freshDirectory();
    const prefix = ['unshare', '--mount', 'sh', '-c', SCRIPT, 'sh', state];
    const option = (code: string) => `{ ...options, onSecondInstance: () => { ${code} } }`;
    const hearing = `new SingleInstance('bot', ${option(`say('heard')`)}); stayAlive();
      say('ready');`;
    const first = program(directory, hearing, prefix);
    await first.says('ready\n');
    const second = () => program(directory, `new SingleInstance('bot', ${option('')})`, prefix);
    expect((await second().finished).stderr).toMatch(/^📨/m);
    chmodSync(path, 0o755);
    const { status, stderr } = await second().finished;
    expect(status).toBe(1);
    expect(stderr).not.toMatch(/^📨/m);
    first.child.kill('SIGTERM');
    expect((await first.finished).stdout.match(/^heard$/gm)).toHaveLength(1);
  });
});
