/** Little-endian numbers and strings out of an executable file. */
export class Bytes {
  #view;
  #bytes;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(at) {
    return this.#view.getUint8(at);
  }

  u16(at) {
    return this.#view.getUint16(at, true);
  }

  u32(at) {
    return this.#view.getUint32(at, true);
  }

  u64(at) {
    return Number(this.#view.getBigUint64(at, true));
  }

  /** The text up to a zero, or to `limit` bytes. */
  text(at, limit = this.#bytes.length - at) {
    const end = this.#bytes.subarray(at, at + limit).indexOf(0);
    return Buffer.from(this.#bytes.subarray(at, at + (end < 0 ? limit : end))).toString('latin1');
  }
}

/**
 * What a shared library says of itself in its headers.
 * @typedef {object} Image
 * @property {string} arch as in `process.arch`
 * @property {string[]} libraries that it needs
 * @property {string[]} exports
 * @property {Import[]} imports
 * @property {string | undefined} minimum the oldest system: a glibc or macOS version
 * @property {string[]} oddities what should not be there, in words
 *
 * @typedef {object} Import
 * @property {string} name
 * @property {string} [library] where the format tells
 * @property {string} [version] of the symbol
 */
