// What has to be known of an ELF file before it is loaded.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER = 64;
/** Holds the program headers and what they point to, in any program that linkers make. */
const FIRST_PAGE = 4096;
const LOADER = /\0\/[\w./+-]*\/ld(?:64)?-((?:linux|musl)[\w.-]*)\0/;

/**
 * Whether `file` is there. Throws if it can't be read, or is an ELF file that was cut short: glibc
 * maps those by what their headers promise, and the process dies of SIGBUS.
 */
export function isWhole(file: string): boolean {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
  try {
    const header = Buffer.alloc(HEADER);
    const length = readSync(fd, header, 0, HEADER, 0);
    const end = endOfElf(header.subarray(0, length));
    if (fstatSync(fd).size < end) throw new Error(`${file}: cut short`);
    return true;
  } finally {
    closeSync(fd);
  }
}

/**
 * Whether a program runs on musl: it names the loader that it wants. The process report says it too,
 * in far more time, and a marker file of Alpine's says it of Alpine alone. `undefined` where the
 * program names none or can't be read.
 */
export function runsOnMusl(program: string): boolean | undefined {
  const page = Buffer.alloc(FIRST_PAGE);
  try {
    const fd = openSync(program, 'r');
    try {
      readSync(fd, page, 0, FIRST_PAGE, 0);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
  return LOADER.exec(page.toString('latin1'))?.[1]?.startsWith('musl');
}

// Linkers and strip put the section headers last. 0 for what is no little-endian ELF file.
function endOfElf(header: Buffer): number {
  const [LITTLE_ENDIAN, BITS_64] = [1, 2];
  if (header.length < HEADER || header.toString('latin1', 0, 4) !== '\x7fELF') return 0;
  if (header[5] !== LITTLE_ENDIAN) return 0;
  return header[4] === BITS_64
    ? Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60)
    : header.readUInt32LE(32) + header.readUInt16LE(46) * header.readUInt16LE(48);
}
