// Compiles and links the addon for one target. Nothing of this machine gets into the file: the
// same sources give the same bytes anywhere.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { include_dir as headers } from 'node-api-headers';
import { readGyp } from './gyp.js';
import { TARGETS } from './targets.js';
import { clearTimes, writeNodeApiLookup } from './windows.js';

/** All that the file has to show: the two functions by which Node recognises an addon. */
export const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

const ADDON = 'kernel-lock.node';
/** Windows wants the ending, elsewhere it means nothing. */
const PROGRAM = 'kernel-lock.exe';

/** What node-gyp gets from Node's common.gypi, but for size. */
const COMPILE = [
  '-Os',
  '-g0',
  '-DNDEBUG',
  '-fPIC',
  '-fno-exceptions',
  '-fno-rtti',
  '-ffunction-sections',
  '-fdata-sections',
  '-fno-ident',
  '-fvisibility=hidden',
];

/** The linter reads the sources of Linux alone; this is what reads the others. */
const WARNINGS = ['-Wall', '-Wextra', '-Werror'];

/**
 * Builds the addon.
 * @param {string} root the package's folder
 * @param {import('./targets.js').Target} target
 * @param {import('./toolchain.js').Toolchain} toolchain
 * @param {string} output the file to write
 */
export function buildAddon(root, target, toolchain, output) {
  const build = new Build(root, target, toolchain, target.name);
  const objects = build.settings.sources.map((source) => build.compile(source));
  const extra = ['scripts/prebuild/demangle.c'];
  if (target.os === 'mac') extra.push('scripts/prebuild/new_mac.c');
  if (target.os === 'win') extra.push(writeNodeApiLookup(build.work, objects));
  objects.push(...extra.map((source) => build.compile(source)));
  mkdirSync(dirname(output), { recursive: true });
  const linked = build.link(['-shared', ...objects, ...addonLinkFlags(target, build.work)]);
  const file = readFileSync(linked);
  if (target.os === 'win') clearTimes(file);
  writeFileSync(output, file);
}

/**
 * Builds the native part's own tests, programs without Node and, for musl, without libraries.
 * @param {string} root
 * @param {import('./targets.js').Target} target
 * @param {import('./toolchain.js').Toolchain} toolchain
 * @returns {Record<string, string>} the programs, by name
 */
export function buildTests(root, target, toolchain) {
  const tests = (name) => new Build(root, target, toolchain, `${target.name}-${name}`);
  const main = tests('tests');
  const system = target.os === 'win' ? 'system_win.cc' : 'system_posix.cc';
  const shims = { 'native/lock_win.cc': ['-include', 'test/native/grace_shim.h'] };
  const native = main.settings.sources
    .filter((source) => !basename(source).startsWith('addon'))
    .map((source) => main.compile(source, shims[source]));
  const own = ['test/native/main.cc', `test/native/${system}`].map((source) =>
    main.compile(source),
  );
  const libraries = target.name.endsWith('-musl') ? ['-static'] : [];
  const programs = { main: main.link([...libraries, ...native, ...own], PROGRAM) };
  if (target.name === 'linux-x64-musl') {
    const clock = tests('clock-test');
    const objects = [...native, clock.compile('test/native/clock_test.cc')];
    programs.clock = clock.link([...libraries, ...objects], PROGRAM);
  }
  if (target.os !== 'win') return programs;
  const wait = tests('wait-tests');
  const shimmed = ['native/lock_win.cc', 'native/wait_win.cc', 'native/lock_facts_win.cc'].map(
    (source) => wait.compile(source, ['-include', 'test/native/async_lock_shim.h']),
  );
  const others = ['native/held_win.cc', 'native/text_win.cc', 'test/native/wait_win_test.cc'].map(
    (source) => wait.compile(source),
  );
  return { ...programs, wait: wait.link([...shimmed, ...others], PROGRAM) };
}

/**
 * Builds a C program of the tests for Windows.
 * @param {string} source its file, from the package's folder
 * @returns {string} the program
 */
export function buildForWindows(root, toolchain, source) {
  const target = TARGETS.find(({ name }) => name === 'win32-x64');
  const build = new Build(root, target, toolchain, basename(source, '.c'));
  return build.link(['-municode', build.compile(source)], PROGRAM);
}

class Build {
  /** @param {string} folder for what is made on the way */
  constructor(root, target, toolchain, folder) {
    this.root = root;
    this.toolchain = toolchain;
    this.work = join(toolchain.work, folder);
    this.settings = readGyp(root, target.os);
    const triple = target.triple.replace('%', macosVersion(target, this.settings));
    this.machine = ['-target', triple, ...(target.flags ?? [])];
    this.flags = [...this.machine, ...COMPILE, `-ffile-prefix-map=${root}=.`];
    this.cxxFlags = [
      ...WARNINGS,
      ...this.settings.compile,
      ...this.settings.defines.map((define) => `-D${define}`),
      // Zig's C++ headers are half annotated, which clang reports on macOS.
      ...(target.os === 'mac' ? ['-Wno-nullability-completeness'] : []),
      // See windows.js.
      ...(target.os === 'win' ? ['-DNAPI_EXTERN=__declspec(dllimport)'] : []),
      ...[headers, ...this.settings.include_dirs].flatMap((path) => ['-isystem', path]),
    ];
    rmSync(this.work, { recursive: true, force: true });
    mkdirSync(this.work, { recursive: true });
  }

  /** Returns the object file. */
  compile(source, extra = []) {
    const object = join(this.work, `${basename(source)}.o`);
    const language = source.endsWith('.c') ? ['cc'] : ['c++', ...this.cxxFlags];
    this.toolchain.zig(
      [...language, ...this.flags, ...extra, '-c', source, '-o', object],
      this.root,
    );
    return object;
  }

  /** Returns the linked file. */
  link(args, name = ADDON) {
    // The name gets into the file.
    const linked = join(this.work, name);
    const command = ['c++', ...this.machine, '-s', ...args, ...this.settings.link, '-o', linked];
    this.toolchain.zigQuietly(command, this.root);
    return linked;
  }
}

function macosVersion(target, settings) {
  // There was no arm64 before.
  return target.arch === 'arm64' && Number.parseInt(settings.macos ?? '', 10) < 11
    ? '11.0'
    : (settings.macos ?? '');
}

function addonLinkFlags(target, work) {
  if (target.os === 'mac') {
    // Else the library's own name is where it was linked, and its local symbols stay.
    return ['-undefined', 'dynamic_lookup', '-Wl,-install_name,@rpath/kernel-lock.node', '-Wl,-x'];
  }
  if (target.os === 'win') return ['-Wl,--gc-sections'];
  const script = join(work, 'exports.map');
  writeFileSync(script, `{ global: ${EXPORTS.join('; ')}; local: *; };\n`);
  return [`-Wl,--version-script=${script}`, '-Wl,--build-id=none', '-Wl,--as-needed'];
}
