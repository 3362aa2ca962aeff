import { Bytes } from './bytes.js';

const ARCHES = { 34404: 'x64', 43620: 'arm64' };
const DIRECTORY = { exports: 0, imports: 1, delayed: 13 };
const BY_ORDINAL = 0x80000000;

/**
 * @param {Uint8Array} file
 * @returns {import('./bytes.js').Image}
 */
export function readPe(file) {
  const bytes = new Bytes(file);
  const header = bytes.u32(0x3c);
  if (bytes.u32(header) !== 0x4550) throw new Error('no PE file');
  const optional = header + 24;
  if (bytes.u16(optional) !== 0x20b) throw new Error('no 64-bit PE file');
  const place = addressReader(bytes, header);
  const directory = (index) => bytes.u32(optional + 112 + 8 * index);

  const image = {
    arch: ARCHES[bytes.u16(header + 4)] ?? `machine ${bytes.u16(header + 4)}`,
    libraries: [],
    exports: readExports(bytes, directory(DIRECTORY.exports), place),
    imports: [],
    minimum: `${bytes.u16(optional + 48)}.${bytes.u16(optional + 50)}`,
    oddities: [],
  };
  readImports(bytes, directory(DIRECTORY.imports), place, image);
  if (bytes.u32(header + 8) !== 0) image.oddities.push('has the time of its making in it');
  if (directory(DIRECTORY.delayed) !== 0) image.oddities.push('imports something with delay');
  // What is looked up when it is loaded stands there as text.
  for (const [name] of Buffer.from(file)
    .toString('latin1')
    .matchAll(/\b(napi|node_api)_\w+/g)) {
    if (!image.exports.includes(name)) image.imports.push({ name });
  }
  return image;
}

/** Where in the file the table of exports stands, if there is one. */
export function locateExports(file) {
  const bytes = new Bytes(file);
  const header = bytes.u32(0x3c);
  const address = bytes.u32(header + 24 + 112 + 8 * DIRECTORY.exports);
  return address === 0 ? undefined : addressReader(bytes, header)(address);
}

/** Turns an address in memory into a place in the file. */
function addressReader(bytes, header) {
  const sections = header + 24 + bytes.u16(header + 20);
  const count = bytes.u16(header + 6);
  return (address) => {
    for (let index = 0; index < count; index++) {
      const at = sections + 40 * index;
      const offset = address - bytes.u32(at + 12);
      if (offset >= 0 && offset < bytes.u32(at + 16)) return bytes.u32(at + 20) + offset;
    }
    throw new Error(`no section holds the address ${address}`);
  };
}

function readExports(bytes, address, place) {
  if (address === 0) return [];
  const table = place(address);
  const names = place(bytes.u32(table + 32));
  return Array.from({ length: bytes.u32(table + 24) }, (_, index) =>
    bytes.text(place(bytes.u32(names + 4 * index))),
  );
}

function readImports(bytes, address, place, image) {
  if (address === 0) return;
  for (let at = place(address); bytes.u32(at + 12) !== 0; at += 20) {
    const library = bytes.text(place(bytes.u32(at + 12)));
    image.libraries.push(library);
    for (let entry = place(bytes.u32(at)); bytes.u64(entry) !== 0; entry += 8) {
      const byOrdinal = bytes.u32(entry + 4) >= BY_ORDINAL;
      const name = byOrdinal ? `#${bytes.u16(entry)}` : bytes.text(place(bytes.u32(entry)) + 2);
      image.imports.push({ name, library });
    }
  }
}
