// What a prebuilt addon may be made of.
import { createRequire } from 'node:module';
import { EXPORTS } from './compile.js';
import { compareVersions, readElf } from './elf.js';
import { readMachO } from './macho.js';
import { readPe } from './pe.js';
import { UNVERSIONED } from './symbols.js';

const MAX_BYTES = 200 * 1024;

// Node 20 has Node-API 8 and 9; binding.gyp asks for 8.
const { symbols } = createRequire(import.meta.url)('node-api-headers');
const NODE_API = [...symbols.v8.js_native_api_symbols, ...symbols.v8.node_api_symbols];

const RULES = {
  glibc: {
    read: readElf,
    libraries: /^(lib(c|m|dl|pthread)\.so\.\d|ld-linux[\w-]*\.so\.\d)$/,
    minimum: '2.17',
  },
  musl: { read: readElf, libraries: /^libc\.so$/, symbols: UNVERSIONED },
  darwin: {
    read: readMachO,
    libraries: /^\/usr\/lib\/libSystem\.B\.dylib$/,
    symbols: UNVERSIONED,
    exports: /^_mh_dylib_header$|^__dso_handle$/, // of every library
    minimum: '11.0',
  },
  win32: {
    read: readPe,
    libraries: /^(KERNEL32|ADVAPI32|SHELL32|OLE32|RSTRTMGR|ntdll|api-ms-win-crt-[\w-]+)\.dll$/i,
    minimum: '10.0',
  },
};

/**
 * Compares a file with what its target expects.
 * @param {import('./targets.js').Target} target
 * @param {Uint8Array} file
 * @returns {{ image: import('./bytes.js').Image, nodeApi: number, problems: string[] }}
 */
export function examine(target, file) {
  const rules = RULES[target.platform === 'linux' ? target.name.split('-')[2] : target.platform];
  const image = rules.read(file);
  const problems = [...image.oddities];
  if (image.arch !== target.arch) problems.push(`is for ${image.arch}, not ${target.arch}`);
  if (file.length > MAX_BYTES) problems.push(`has ${file.length} bytes, over ${MAX_BYTES}`);
  for (const library of image.libraries) {
    if (!rules.libraries.test(library)) problems.push(`needs the library ${library}`);
  }
  if (rules.minimum !== undefined) {
    if (image.minimum === undefined) problems.push('does not say what system it needs');
    else if (compareVersions(image.minimum, rules.minimum) > 0)
      problems.push(`needs version ${image.minimum} of the system, over ${rules.minimum}`);
  }
  for (const name of EXPORTS) {
    if (!image.exports.includes(name)) problems.push(`does not export ${name}`);
  }
  for (const name of image.exports) {
    if (!EXPORTS.includes(name) && !rules.exports?.test(name)) problems.push(`exports ${name}`);
  }
  const nodeApi = image.imports.filter(({ name }) => NODE_API.includes(name));
  if (nodeApi.length === 0) problems.push('uses nothing of Node-API');
  for (const { name, library, version } of image.imports) {
    if (NODE_API.includes(name)) {
      if (library !== undefined) problems.push(`takes ${name} from ${library}`);
    } else if (/^(napi|node_api)_/.test(name)) {
      problems.push(`uses ${name}, which Node 20 may lack`);
    } else if (rules.symbols === undefined ? library === undefined : !rules.symbols.has(name)) {
      problems.push(`uses ${name}, of which nothing is known`);
    } else if (version !== undefined && !version.startsWith('GLIBC_')) {
      problems.push(`uses ${name} in the version ${version}`);
    }
  }
  return { image, nodeApi: nodeApi.length, problems };
}
