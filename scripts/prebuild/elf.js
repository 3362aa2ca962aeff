import { Bytes } from './bytes.js';

const ARCHES = { 62: 'x64', 183: 'arm64', 40: 'arm' };
const SECTION = { dynamic: 6, symbols: 11, versionNeeds: 0x6ffffffe, versions: 0x6fffffff };
const TAG = { needed: 1, rpath: 15, textrel: 22, runpath: 29, flags1: 0x6ffffffb };
const NODELETE = 8;
const STACK_SEGMENT = 0x6474e551;
const EXECUTABLE = 1;

/**
 * @param {Uint8Array} file
 * @returns {import('./bytes.js').Image}
 */
export function readElf(file) {
  const bytes = new Bytes(file);
  if (bytes.u32(0) !== 0x464c457f) throw new Error('no ELF file');
  const wide = bytes.u8(4) === 2;
  const word = (at) => (wide ? bytes.u64(at) : bytes.u32(at));
  const sections = readSections(bytes, wide, word);
  const of = (type) => sections.find((section) => section.type === type);
  const stringsOf = (section) => {
    const { offset } = sections[section.link];
    return (at) => bytes.text(offset + at);
  };

  const libraries = [];
  const oddities = [];
  let flags1 = 0;
  const dynamic = of(SECTION.dynamic);
  const text = stringsOf(dynamic);
  const size = wide ? 8 : 4;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 2 * size) {
    const value = word(at + size);
    switch (word(at)) {
      case TAG.needed:
        libraries.push(text(value));
        break;
      case TAG.rpath:
      case TAG.runpath:
        oddities.push(`has a search path, ${text(value)}`);
        break;
      case TAG.textrel:
        oddities.push('relocates its code');
        break;
      case TAG.flags1:
        flags1 = value;
    }
  }
  // A thread of the addon may still run when a worker that loaded it ends.
  if ((flags1 & NODELETE) === 0) oddities.push('may be unloaded (no NODELETE)');
  if (stackIsExecutable(bytes, wide, word)) oddities.push('asks for an executable stack');

  const versionNames = readVersionNeeds(bytes, of(SECTION.versionNeeds), stringsOf);
  const symbols = readSymbols(bytes, wide, of(SECTION.symbols), of(SECTION.versions), stringsOf);
  const imports = symbols
    .filter((symbol) => symbol.undefined)
    .map(({ name, version }) => ({ name, ...versionNames.get(version) }));
  return {
    arch: ARCHES[bytes.u16(18)] ?? `machine ${bytes.u16(18)}`,
    libraries,
    exports: symbols.filter((symbol) => !symbol.undefined).map((symbol) => symbol.name),
    imports,
    minimum: newestGlibc(imports),
    oddities,
  };
}

function readSections(bytes, wide, word) {
  const start = word(wide ? 0x28 : 0x20);
  const entry = bytes.u16(wide ? 0x3a : 0x2e);
  const count = bytes.u16(wide ? 0x3c : 0x30);
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * entry;
    return {
      type: bytes.u32(at + 4),
      offset: word(at + (wide ? 0x18 : 0x10)),
      size: word(at + (wide ? 0x20 : 0x14)),
      link: bytes.u32(at + (wide ? 0x28 : 0x18)),
      count: bytes.u32(at + (wide ? 0x2c : 0x1c)),
    };
  });
}

function stackIsExecutable(bytes, wide, word) {
  const start = word(wide ? 0x20 : 0x1c);
  const entry = bytes.u16(wide ? 0x36 : 0x2a);
  const count = bytes.u16(wide ? 0x38 : 0x2c);
  for (let at = start; at < start + count * entry; at += entry) {
    if (bytes.u32(at) === STACK_SEGMENT)
      return (bytes.u32(at + (wide ? 4 : 24)) & EXECUTABLE) !== 0;
  }
  return true; // nothing said is the old default
}

function readVersionNeeds(bytes, section, stringsOf) {
  const names = new Map();
  if (section === undefined) return names;
  const text = stringsOf(section);
  let at = section.offset;
  for (let file = 0; file < section.count; file++) {
    const library = text(bytes.u32(at + 4));
    let need = at + bytes.u32(at + 8);
    for (let left = bytes.u16(at + 2); left > 0; left--) {
      names.set(bytes.u16(need + 6), { library, version: text(bytes.u32(need + 8)) });
      need += bytes.u32(need + 12);
    }
    at += bytes.u32(at + 12);
  }
  return names;
}

function readSymbols(bytes, wide, section, versions, stringsOf) {
  const text = stringsOf(section);
  const size = wide ? 24 : 16;
  const symbols = [];
  for (let index = 1; index < section.size / size; index++) {
    const at = section.offset + index * size;
    symbols.push({
      name: text(bytes.u32(at)),
      undefined: bytes.u16(at + (wide ? 6 : 14)) === 0,
      version: versions === undefined ? 0 : bytes.u16(versions.offset + 2 * index) & 0x7fff,
    });
  }
  return symbols;
}

function newestGlibc(imports) {
  const versions = imports.flatMap(({ version }) => /^GLIBC_(.*)$/.exec(version ?? '')?.[1] ?? []);
  return versions.sort(compareVersions).at(-1);
}

/** Whether the dotted version `a` is older (negative) or newer (positive) than `b`. */
export function compareVersions(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}
