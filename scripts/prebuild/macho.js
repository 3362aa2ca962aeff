import { Bytes } from './bytes.js';

const ARCHES = { 16777223: 'x64', 16777228: 'arm64' };
const COMMAND = {
  symbols: 0x2,
  needs: 0xc,
  id: 0xd,
  needsWeakly: 0x80000018,
  rpath: 0x8000001c,
  reexports: 0x8000001f,
  signature: 0x1d,
  minimum: 0x24,
  build: 0x32,
};
const WEAK_DEFINES = 0x8000;
const SYMBOL = { debug: 0xe0, hidden: 0x10, type: 0x0e, external: 0x01 };
const LOOKED_UP = 0xfe;

/**
 * @param {Uint8Array} file
 * @returns {import('./bytes.js').Image}
 */
export function readMachO(file) {
  const bytes = new Bytes(file);
  if (bytes.u32(0) !== 0xfeedfacf) throw new Error('no 64-bit Mach-O file');
  const image = {
    arch: ARCHES[bytes.u32(4)] ?? `CPU ${bytes.u32(4)}`,
    libraries: [],
    exports: [],
    imports: [],
    minimum: undefined,
    oddities: [],
  };
  let signed = false;
  let symbols;
  let at = 32;
  for (let left = bytes.u32(16); left > 0; left--) {
    const text = () => bytes.text(at + bytes.u32(at + 8));
    switch (bytes.u32(at)) {
      case COMMAND.needs:
      case COMMAND.needsWeakly:
      case COMMAND.reexports:
        image.libraries.push(text());
        break;
      case COMMAND.id:
        if (!text().startsWith('@rpath/')) image.oddities.push(`calls itself ${text()}`);
        break;
      case COMMAND.rpath:
        image.oddities.push(`has a search path, ${text()}`);
        break;
      case COMMAND.build:
        image.minimum = versionText(bytes.u32(at + 12));
        break;
      case COMMAND.minimum:
        image.minimum = versionText(bytes.u32(at + 8));
        break;
      case COMMAND.signature:
        signed = true;
        break;
      case COMMAND.symbols:
        symbols = at;
    }
    at += bytes.u32(at + 4);
  }
  readSymbols(bytes, symbols, image);
  if (image.arch === 'arm64' && !signed) image.oddities.push('is not signed, which arm64 asks for');
  if ((bytes.u32(24) & WEAK_DEFINES) !== 0) {
    image.oddities.push('exports weak definitions, which mix with those of other libraries');
  }
  return image;
}

function versionText(packed) {
  return `${packed >> 16}.${(packed >> 8) & 0xff}`;
}

function readSymbols(bytes, command, image) {
  const start = bytes.u32(command + 8);
  const strings = bytes.u32(command + 16);
  for (let index = 0; index < bytes.u32(command + 12); index++) {
    const at = start + index * 16;
    const type = bytes.u8(at + 4);
    if ((type & SYMBOL.debug) !== 0) continue;
    if ((type & SYMBOL.external) === 0 || (type & SYMBOL.hidden) !== 0) continue;
    const name = bytes.text(strings + bytes.u32(at)).replace(/^_/, '');
    if ((type & SYMBOL.type) !== 0) {
      image.exports.push(name);
      continue;
    }
    const ordinal = bytes.u16(at + 6) >> 8;
    image.imports.push(
      ordinal === LOOKED_UP ? { name } : { name, library: image.libraries[ordinal - 1] },
    );
  }
}
