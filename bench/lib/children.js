// The processes that the bench starts. None outlives it.
import { spawn, spawnSync } from 'node:child_process';

const ANSWER_MS = 120_000;
const END_MS = 1000;
const children = new Set();

/** A process that answers each line with a line of JSON, and may say more later. */
export class Actor {
  #child;
  #lines = [];
  #readers = [];
  #rest = '';
  #failure;

  constructor(command, args, options = {}) {
    this.label = [command, ...args].join(' ');
    this.#child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
    children.add(this);
    this.ended = new Promise((resolve) => {
      const end = (reason) => {
        children.delete(this);
        this.#failure = new Error(`${this.label}: ${reason}`);
        for (const reader of this.#readers.splice(0)) reader.reject(this.#failure);
        resolve();
      };
      this.#child.on('error', (error) => end(error.message));
      this.#child.on('exit', (code, signal) => end(`ended by ${signal ?? code}`));
    });
    this.#child.stdin.on('error', () => {}); // `ended` tells
    this.#child.stdout.setEncoding('utf8');
    this.#child.stdout.on('data', (text) => this.#receive(text));
  }

  get pid() {
    return this.#child.pid;
  }

  #receive(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) {
      const reader = this.#readers.shift();
      if (reader === undefined) this.#lines.push(line);
      else reader.resolve(line);
    }
  }

  tell(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  /** The next line that it says. */
  async next() {
    if (this.#lines.length > 0) return JSON.parse(this.#lines.shift());
    if (this.#failure !== undefined) throw this.#failure;
    let timer;
    const line = await new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      timer = setTimeout(() => reject(new Error(`${this.label}: no answer`)), ANSWER_MS);
    }).finally(() => clearTimeout(timer));
    return JSON.parse(line);
  }

  ask(line) {
    this.tell(line);
    return this.next();
  }

  /** The end of its input ends an actor; one that is stuck is killed. */
  async end() {
    if (this.#failure === undefined) {
      this.#child.stdin.end();
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
      await this.ended;
      clearTimeout(timer);
    }
  }
}

/** A process that only has to be there; `end` sends it a signal and waits for its end. */
export class Bystander {
  #child;

  constructor(command, args) {
    this.#child = spawn(command, args, { stdio: 'ignore' });
    children.add(this);
    this.ended = new Promise((resolve) => {
      this.#child.on('error', resolve);
      this.#child.on('exit', resolve);
    }).then(() => children.delete(this));
  }

  get pid() {
    return this.#child.pid;
  }

  async end(signal = 'SIGKILL') {
    this.#child.kill(signal);
    await this.ended;
  }
}

export async function endAll() {
  await Promise.all([...children].map((child) => child.end()));
}

/** How long the command takes from start to end, in nanoseconds. */
export function timeCommand(command, args, options = {}) {
  const start = process.hrtime.bigint();
  const { status, error } = spawnSync(command, args, { stdio: 'ignore', ...options });
  const end = process.hrtime.bigint();
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')}: status ${status}`);
  return Number(end - start);
}
