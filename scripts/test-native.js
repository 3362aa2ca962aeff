// Runs test/native/ as a static musl program, on this machine and, where QEMU is installed, on
// the other processors of Linux. What can't be run here is named as such.
//   node scripts/test-native.js [--only NAME]… [--cache DIR]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildTests } from './prebuild/compile.js';
import { TARGETS } from './prebuild/targets.js';
import { prepareToolchain } from './prebuild/toolchain.js';

const EMULATORS = { x64: 'qemu-x86_64', arm64: 'qemu-aarch64', arm: 'qemu-arm' };

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: { only: { type: 'string', multiple: true }, cache: { type: 'string' } },
});
const toolchain = prepareToolchain(root, options.cache);
let failed = false;
for (const target of TARGETS.filter(({ name }) => name.endsWith('-musl'))) {
  if (options.only?.includes(target.name) === false) continue;
  const native = target.platform === process.platform && target.arch === process.arch;
  const emulator = native ? [] : [EMULATORS[target.arch]];
  if (!native && spawnSync(emulator[0], ['--version']).error !== undefined) {
    console.log(`${target.name}: not run, ${emulator[0]} is not installed`);
    continue;
  }
  const program = buildTests(root, target, toolchain);
  const directory = mkdtempSync(join(tmpdir(), 'kernel-lock-'));
  const [command, ...args] = [...emulator, program, directory];
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  rmSync(directory, { recursive: true });
  const cases = result.stdout.split('\n').filter((line) => /^(ok|FAIL) /.test(line));
  const bad = cases.filter((line) => line.startsWith('FAIL'));
  for (const line of result.stdout.split('\n')) {
    if (/^(FAIL|not run)/.test(line)) console.log(`${target.name}: ${line}`);
  }
  process.stderr.write(result.stderr);
  if (result.status !== 0) {
    failed = true;
    console.log(`${target.name}: ended with ${result.signal ?? result.status}`);
  }
  console.log(`${target.name}: ${cases.length - bad.length} of ${cases.length} cases passed`);
}
process.exitCode = failed ? 1 : 0;
