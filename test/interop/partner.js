// The test's end of a partner, a program that locks in its own way; partner.mjs says how they talk.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { equal, NotRun, onWindows } from '../platforms/kit.mjs';

/** The partners that are running. */
export const partners = new Set();

export class Partner {
  #child;
  #lines = [];
  #reader;
  #stderr = '';
  #holder;

  /** Starts the program, a command as a list of words, for the lock file at `path`. */
  static async start([program, ...args], path) {
    const partner = new Partner();
    partners.add(partner);
    // A group of its own, so that nothing that it starts outlives it.
    partner.#child = spawn(program, [...args, path], { detached: !onWindows });
    partner.#child.stderr.on('data', (text) => {
      partner.#stderr += text;
    });
    partner.ended = new Promise((done) => {
      partner.#child.on('error', (error) => done(error.message));
      partner.#child.on('close', (code, signal) => done(signal ?? code));
    });
    partner.ended.then((end) => partner.#hear(`ended with ${end}: ${partner.#stderr}`));
    createInterface({ input: partner.#child.stdout }).on('line', (line) => partner.#hear(line));
    const greeting = await partner.#says(/^ready/);
    partner.writesRecord = greeting === 'ready record';
    return partner;
  }

  /** What the kernel or a record tells of who holds their lock: nothing on Windows without one. */
  get told() {
    return onWindows && !this.writesRecord ? undefined : this.#holder;
  }

  /** Acquires without having to wait. */
  async lock(mode) {
    this.#tell(`lock ${mode}`);
    await this.#holds();
  }

  /** Whether it got the lock at once. */
  async tryLock(mode) {
    this.#tell(`try ${mode}`);
    const word = await this.#says(/^(held \d+|refused)$/);
    if (word === 'refused') return false;
    this.#holder = Number(word.slice('held '.length));
    return true;
  }

  /** Begins to wait; resolves to `waits` or `polls` when it was refused. */
  async wait(mode) {
    this.#tell(`lock ${mode}`);
    return this.#says(/^(waits|polls)$/);
  }

  /** The end of that: it has the lock. */
  async gets() {
    await this.#holds();
  }

  async unlock() {
    this.#tell('unlock');
    await this.#says(/^unlocked$/);
  }

  async count(file, times) {
    this.#tell(`count ${file} ${times}`);
    await this.#says(/^counted$/);
  }

  /** What it said and nobody has heard yet. */
  get unheard() {
    return this.#lines.length;
  }

  /** kill -9 of it and of all that it started, and the wait until they are gone. */
  async kill() {
    partners.delete(this);
    try {
      if (onWindows) this.#child.kill('SIGKILL');
      else process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // it has ended
    }
    return this.ended;
  }

  async #holds() {
    this.#holder = Number((await this.#says(/^held \d+$/)).slice('held '.length));
  }

  #tell(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  #hear(line) {
    this.#lines.push(line);
    this.#reader?.();
  }

  async #says(wanted) {
    while (this.#lines.length === 0) {
      await new Promise((heard) => {
        this.#reader = heard;
      });
    }
    const line = this.#lines.shift().trim();
    if (line === 'unsupported') throw new NotRun('it has no shared lock');
    equal(wanted.test(line), true, `the partner said "${line}" where ${wanted} was due: that`);
    return line;
  }
}
