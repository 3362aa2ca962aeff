// The native part's own tests as programs without Node, for systems whose Node can't be run here.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildTests } from '../prebuild/compile.js';
import { TARGETS } from '../prebuild/targets.js';
import { broken, runCases } from './rows.js';
import { WINE } from './wine.js';

const EMULATORS = { x64: 'qemu-x86_64', arm64: 'qemu-aarch64', arm: 'qemu-arm' };
const NATIVE = ['linux-x64-musl', 'linux-arm64-musl', 'linux-arm-musl', 'win32-x64'];

/** The targets whose tests can be run or emulated on one machine. */
export const NATIVE_TARGETS = TARGETS.filter(({ name }) => NATIVE.includes(name));

/**
 * Builds the tests of one target and runs them.
 * @returns {import('./rows.js').Result}
 */
export function runNative(root, target, toolchain, scratch, wine) {
  const onWindows = target.platform === 'win32';
  const here = target.platform === process.platform && target.arch === process.arch;
  const emulator = here ? [] : [onWindows ? WINE : EMULATORS[target.arch]];
  const missing = emulator.filter((path) => spawnSync(path, ['--version']).error !== undefined);
  if (missing.length > 0) return broken(`${missing[0]} is not installed`);
  const results = Object.entries(buildTests(root, target, toolchain)).map(([name, program]) => {
    const directory = join(scratch, `${target.name}-${name}`);
    mkdirSync(directory);
    const log = `${directory}.log`;
    const environment = onWindows ? wine.environment : process.env;
    return runCases([...emulator, program, directory], environment, log);
  });
  return {
    passed: results.reduce((sum, { passed }) => sum + passed, 0),
    failed: results.flatMap(({ failed }) => failed),
    notRun: results.flatMap(({ notRun }) => notRun),
  };
}
