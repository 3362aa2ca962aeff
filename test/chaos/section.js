// The critical section, and three witnesses that know nothing of locks or clocks: a counter that
// is read and written in two steps, a link that only one can create, and a log of begin and end
// marks. The judge reads the log; the other two speak up at once. Nothing of it wants a descriptor,
// of which there may be none left.
import {
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
/** How long one that was killed may take to be gone, in milliseconds. */
const PATIENCE = 30_000;

/** What a participant does where it believes to be alone. */
export class Sections {
  #directory;
  #id;
  #files = new Map();
  #overlaps;
  #sequence = 0;

  /**
   * @param {string} id of a process, or `PROCESS.THREAD`; nobody else has it in the whole run, as pids
   *   would. There is a file of that name in `alive` while it lives
   */
  constructor(directory, id) {
    this.#directory = directory;
    this.#id = id;
    this.#overlaps = openSync(join(directory, 'overlaps'), 'a');
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
    const owner = ownerOf(witness);
    if (owner !== this.#id) this.#overlap(name, 'witness', `${owner} has the link of ${this.#id}`);
    writeSync(counter, String(value).padStart(DIGITS), 0);
    remove(witness);
    this.#mark(log, 'E', sequence, value);
  }

  async shared(name, work) {
    const { log, counter } = this.#files.get(name);
    const sequence = this.#sequence++;
    this.#mark(log, 'b', sequence);
    const value = readCounter(counter);
    await work();
    if (readCounter(counter) !== value) {
      this.#overlap(name, 'counter', `it changed while ${this.#id} was reading`);
    }
    this.#mark(log, 'e', sequence, value);
  }

  close() {
    for (const { log, counter } of this.#files.values()) {
      closeSync(log);
      closeSync(counter);
    }
    closeSync(this.#overlaps);
  }

  // A link that is there was left behind by one that was killed inside, whose process frees its locks
  // before it is gone; or it is of one that is inside now, even if that one leaves soon.
  async #enter(witness, name) {
    if (makeLink(this.#id, witness)) return;
    const owner = ownerOf(witness);
    const end = performance.now() + PATIENCE;
    while (owner !== undefined && performance.now() < end && ownerOf(witness) === owner) {
      if (isGone(this.#directory, owner)) {
        remove(witness);
        if (makeLink(this.#id, witness)) return;
        break;
      }
      await new Promise((next) => setTimeout(next, 1));
    }
    this.#overlap(name, 'witness', `${owner} was inside when ${this.#id} came`);
  }

  #mark(log, kind, sequence, value = '') {
    writeSync(log, `${kind} ${this.#id} ${sequence} ${value}\n`);
  }

  #overlap(name, witness, what) {
    writeSync(this.#overlaps, `${witness}: ${name}: ${what}\n`);
  }
}

/** Whether a participant has ended: its process, or its thread in it. */
function isGone(directory, id) {
  const [ofProcess] = id.split('.');
  return [ofProcess, id].some((one) => !existsSync(join(directory, 'alive', one)));
}

function makeLink(id, witness) {
  try {
    symlinkSync(id, witness);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

// Where two are inside, it may have gone already.
function remove(witness) {
  try {
    unlinkSync(witness);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
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
