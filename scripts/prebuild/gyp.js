// Reads binding.gyp, so that it stays the only list of sources, defines and flags. It knows the
// part of the language that the file uses, strict JSON and one comparison per condition, and
// fails on anything else rather than build something different from node-gyp.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {object} Settings
 * @property {string[]} sources
 * @property {string[]} include_dirs
 * @property {string[]} defines
 * @property {string[]} compile flags for clang
 * @property {string[]} link flags for clang
 * @property {string | undefined} macos the oldest macOS version it runs on
 */

/** Settings that say nothing to a cross build, or are handled here. */
const KNOWN = [
  'target_name',
  'sources',
  'include_dirs',
  'defines',
  'cflags_cc',
  'cflags_cc!', // what node-gyp's own defaults bring along
  'ldflags',
  'libraries',
  'xcode_settings',
  'msvs_settings',
];

/**
 * What binding.gyp says for one operating system.
 * @param {string} root the package's folder
 * @param {'linux' | 'mac' | 'win'} os
 * @returns {Settings}
 */
export function readGyp(root, os) {
  const gyp = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8'));
  if (gyp.targets.length !== 1) throw new Error('binding.gyp: exactly one target is expected');
  const target = resolveConditions(gyp.targets[0], os);
  for (const key of Object.keys(target)) {
    if (!KNOWN.includes(key)) throw new Error(`binding.gyp: '${key}' is not understood here`);
  }
  const flags = { linux: linuxFlags, mac: macFlags, win: windowsFlags }[os](target);
  return {
    sources: target.sources,
    include_dirs: expand(target.include_dirs ?? [], root),
    defines: target.defines ?? [],
    macos: undefined,
    ...flags,
  };
}

/** Merges the branches of `conditions` that hold. */
function resolveConditions(target, os) {
  const { conditions = [], ...result } = target;
  for (const [condition, yes, no] of conditions) {
    const comparison = /^OS(==|!=)'(\w+)'$/.exec(condition);
    if (comparison === null) throw new Error(`binding.gyp: can't evaluate "${condition}"`);
    const holds = (comparison[2] === os) === (comparison[1] === '==');
    merge(result, (holds ? yes : no) ?? {});
  }
  return result;
}

function merge(into, from) {
  for (const [key, value] of Object.entries(from)) {
    if (Array.isArray(value)) into[key] = [...(into[key] ?? []), ...value];
    else if (typeof value === 'object') into[key] = merge({ ...into[key] }, value);
    else into[key] = value;
  }
  return into;
}

/** `<!(command)` is what the command prints. */
function expand(values, root) {
  return values.map((value) => {
    const command = /^<!\((.*)\)$/s.exec(value)?.[1];
    if (command === undefined) return value;
    return execFileSync('sh', ['-c', command], { cwd: root, encoding: 'utf8' }).trim();
  });
}

function linuxFlags(target) {
  return { compile: target.cflags_cc ?? [], link: target.ldflags ?? [] };
}

function macFlags({ xcode_settings: settings = {} }) {
  const {
    CLANG_CXX_LANGUAGE_STANDARD: standard,
    MACOSX_DEPLOYMENT_TARGET: macos,
    OTHER_CPLUSPLUSFLAGS: compile = [],
    OTHER_LDFLAGS: link = [],
    ...others
  } = settings;
  refuse('xcode_settings', others);
  return { compile: [`-std=${standard}`, ...compile], link, macos };
}

function windowsFlags({ msvs_settings: settings = {}, libraries = [] }) {
  const { VCCLCompilerTool: compiler = {}, ...others } = settings;
  refuse('msvs_settings', others);
  const { AdditionalOptions: options = [], ...rest } = compiler;
  refuse('VCCLCompilerTool', rest);
  return {
    compile: options.flatMap((option) => {
      const standard = /^[/-]std:(\S+)$/.exec(option)?.[1];
      if (standard !== undefined) return [`-std=${standard}`];
      if (/^\/[wW]\w*$/.test(option)) return []; // warnings, by numbers that clang has not
      throw new Error(`binding.gyp: '${option}' is not understood here`);
    }),
    // `-lname.lib` or `name.lib`, as gyp has it on Windows
    link: libraries.map((library) => `-l${library.replace(/^-l/, '').replace(/\.lib$/i, '')}`),
  };
}

function refuse(where, settings) {
  const [key] = Object.keys(settings);
  if (key !== undefined)
    throw new Error(`binding.gyp: '${key}' in ${where} is not understood here`);
}
