// The critical section, and three witnesses that know nothing of locks or clocks: a counter that
// is read and written in two steps, a link that only one can create, and a log of begin and end
// marks. The judge reads the log; the other two speak up at once. Nothing of it wants a descriptor,
// of which there may be none left.
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readlinkSync,
  readSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

const DIGITS = 20;
/** How long a dead owner's witness may stay before it counts as stuck, in milliseconds. */
const PATIENCE = 30_000;

/** What a participant does where it believes to be alone. */
export class Sections {
  #directory;
  #id;
  #files = new Map();
  #sequence = 0;

  /** @param {string} id `PID` or `PID.THREAD`; there is a file of that name in `alive` while it lives */
  constructor(directory, id) {
    this.#directory = directory;
    this.#id = id;
  }

  /** Opens what the sections of a name need, so that none of it fails where descriptors run out. */
  prepare(name) {
    this.#files.set(name, {
      log: openSync(join(this.#directory, `${name}.log`), 'a'),
      counter: openSync(join(this.#directory, `${name}.counter`), 'r+'),
    });
  }

  async exclusive(name, work) {
    const { log, counter } = this.#files.get(name);
    const sequence = this.#sequence++;
    this.#mark(log, 'B', sequence);
    const witness = join(this.#directory, `${name}.inside`);
    await this.#enter(witness, name);
    const value = readCounter(counter) + 1;
    await work();
    if (ownerOf(witness) !== this.#id) {
      this.#overlap(name, 'somebody else took the witness away');
    }
    writeSync(counter, String(value).padStart(DIGITS), 0);
    unlinkSync(witness);
    this.#mark(log, 'E', sequence, value);
  }

  async shared(name, work) {
    const { log, counter } = this.#files.get(name);
    const sequence = this.#sequence++;
    this.#mark(log, 'b', sequence);
    const value = readCounter(counter);
    await work();
    if (readCounter(counter) !== value) this.#overlap(name, 'the counter changed under a reader');
    this.#mark(log, 'e', sequence, value);
  }

  close() {
    for (const { log, counter } of this.#files.values()) {
      closeSync(log);
      closeSync(counter);
    }
  }

  async #enter(witness, name) {
    const end = performance.now() + PATIENCE;
    for (;;) {
      try {
        symlinkSync(this.#id, witness);
        return;
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      // Left behind by one that was killed inside, or by one that is inside now. A process frees
      // its locks before it is gone, so that this may take a moment.
      const owner = ownerOf(witness);
      if (owner === undefined || performance.now() > end) {
        this.#overlap(name, owner === undefined ? 'an owner left' : `${owner} is inside as well`);
        return;
      }
      if (isGone(this.#directory, owner)) unlinkSync(witness);
      else await new Promise((next) => setTimeout(next, 1));
    }
  }

  #mark(log, kind, sequence, value = '') {
    writeSync(log, `${kind} ${this.#id} ${sequence} ${value}\n`);
  }

  #overlap(name, what) {
    appendFileSync(join(this.#directory, 'overlaps'), `${name}: in ${this.#id}: ${what}\n`);
  }
}

/** Whether a participant has ended: its process, or its thread in it. */
function isGone(directory, id) {
  const [pid] = id.split('.');
  return [pid, id].some((one) => !existsSync(join(directory, 'alive', one)));
}

function ownerOf(witness) {
  try {
    return readlinkSync(witness);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function readCounter(file) {
  const text = Buffer.alloc(DIGITS);
  readSync(file, text, 0, DIGITS, 0);
  return Number(text.toString());
}

/** Makes the counter of a name. */
export function makeCounter(directory, name) {
  writeFileSync(join(directory, `${name}.counter`), '0'.padStart(DIGITS));
}
