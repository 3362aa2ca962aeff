// Builds the native part with a sanitizer, or a defect, in it: the sources and defines are those
// of binding.gyp, the compiler is the system's g++.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { include_dir as headers } from 'node-api-headers';
import { readGyp } from '../prebuild/gyp.js';

const COMPILE = ['-g', '-O1', '-fPIC', '-fno-omit-frame-pointer'];
const run = promisify(execFile);

/** @typedef {{ file: string, from: string, to: string }} Change to a source, which has to apply */

/** One set of compiler flags; each source is compiled once, but for those that are changed. */
export class Build {
  #objects = new Map();

  /**
   * @param {string} root the package's folder
   * @param {string} work a folder of its own
   * @param {string[]} flags for compiler and linker
   */
  constructor(root, work, flags = []) {
    this.root = root;
    this.work = work;
    this.flags = flags;
    this.settings = readGyp(root, 'linux');
    mkdirSync(work, { recursive: true });
  }

  /**
   * The addon.
   * @param {string} output the file to write
   * @param {Change} [change]
   */
  async addon(output, change) {
    await this.#link(this.settings.sources, output, ['-shared', ...this.settings.link], change);
  }

  /**
   * A program of test/native, with all of the native part that knows no JavaScript.
   * @param {string[]} sources
   * @param {Change} [change]
   * @returns {Promise<string>} the program
   */
  async program(sources, change) {
    const output = join(this.work, `${basename(sources[0])}${change ? '.changed' : ''}.out`);
    const native = this.settings.sources.filter((file) => !basename(file).startsWith('addon'));
    await this.#link([...native, ...sources], output, ['-pthread'], change);
    return output;
  }

  async #link(sources, output, flags, change) {
    mkdirSync(dirname(output), { recursive: true });
    const objects = await Promise.all(
      sources.map((source) =>
        source === change?.file ? this.#changed(change) : this.#object(source),
      ),
    );
    await this.#compiler([...this.flags, ...objects, ...flags, '-o', output]);
  }

  #object(source) {
    const compiled = this.#objects.get(source) ?? this.#compile(join(this.root, source));
    this.#objects.set(source, compiled);
    return compiled;
  }

  #changed({ file, from, to }) {
    const text = readFileSync(join(this.root, file), 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`);
    const changed = join(this.work, `changed-${basename(file)}`);
    writeFileSync(
      changed,
      text.replace(from, () => to),
    );
    return this.#compile(changed);
  }

  async #compile(source) {
    const object = join(this.work, `${basename(source)}.o`);
    const { compile, defines, include_dirs } = this.settings;
    await this.#compiler([
      ...compile,
      ...COMPILE,
      ...this.flags,
      ...defines.map((define) => `-D${define}`),
      ...[headers, ...include_dirs].flatMap((folder) => ['-isystem', folder]),
      `-I${join(this.root, 'native')}`,
      ...['-c', source, '-o', object],
    ]);
    return object;
  }

  #compiler(args) {
    return run('g++', args, { cwd: this.root });
  }
}
