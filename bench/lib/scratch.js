import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { lockPath } from 'kernel-lock';

/** A directory of the bench's own, and lock names in the machine's scope; `remove` deletes both. */
export class Scratch {
  // Where the locks of the default scope are, so that all is measured on one file system.
  path = mkdtempSync('/tmp/klbench-');
  #files = [];

  file(name) {
    return join(this.path, name);
  }

  /** A new directory in it. */
  directory() {
    return mkdtempSync(this.file('d-'));
  }

  machineName(label) {
    const name = `klbench-${process.pid}-${label}`;
    this.#files.push(lockPath(name));
    return name;
  }

  remove() {
    for (const file of this.#files) rmSync(file, { force: true });
    rmSync(this.path, { recursive: true, force: true });
  }
}
