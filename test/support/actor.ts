// The test's end of actor.mjs. Every actor is ended when its test is.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { LockOptions, LockStatus } from '../../dist/index.js';

const SCRIPT = fileURLToPath(new URL('./actor.mjs', import.meta.url));

export interface ActorError {
  name: string;
  code: string;
  message: string;
  holder?: { pid: number };
}

interface Message {
  ready?: boolean;
  id?: number;
  event?: string;
  value?: unknown;
  error?: ActorError;
}

export interface ActorOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** A command that runs node as somebody else, such as setpriv with its arguments. */
  prefix?: string[];
}

export class Actor {
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #events: Message[] = [];
  readonly #watchers = new Set<() => void>();
  #next = 1;

  /** Resolves to the signal or the exit status. */
  readonly ended: Promise<string | number>;

  static async start(options: ActorOptions = {}): Promise<Actor> {
    const actor = new Actor(options);
    onTestFinished(() => actor.end());
    await actor.event('ready');
    return actor;
  }

  private constructor({ cwd, env, prefix = [] }: ActorOptions) {
    const [command = '', ...args] = [...prefix, process.execPath, SCRIPT];
    this.#child = spawn(command, args, {
      cwd,
      env: env ?? process.env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('exit', (code, signal) => {
        const error = { name: 'Ended', code: 'ENDED', message: `ended by ${signal ?? code}` };
        for (const answer of this.#answers.values()) answer({ error });
        resolve(signal ?? (code as number));
      });
    });
    this.#child.on('message', (message: Message) => this.#receive(message));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  #receive(message: Message): void {
    if (message.id !== undefined) {
      this.#answers.get(message.id)?.(message);
      this.#answers.delete(message.id);
      return;
    }
    this.#events.push(message.ready ? { event: 'ready' } : message);
    for (const watcher of this.#watchers) watcher();
  }

  /** Sends a command without waiting for anything. */
  tell(verb: string, ...args: unknown[]): void {
    this.#child.send({ id: 0, verb, args });
  }

  /** Sends a command and waits for its answer. */
  async ask<T>(verb: string, ...args: unknown[]): Promise<T> {
    const id = this.#next++;
    const { value, error } = await new Promise<Message>((resolve) => {
      this.#answers.set(id, resolve);
      this.#child.send({ id, verb, args });
    });
    if (error !== undefined) throw Object.assign(new Error(error.message), error);
    return value as T;
  }

  /** Waits for what `lockLater` announces under this label. */
  event(label: string): Promise<Message> {
    return new Promise((resolve, reject) => {
      void this.ended.then((end) => reject(new Error(`ended by ${end} before "${label}"`)), reject);
      const look = () => {
        const index = this.#events.findIndex(({ event }) => event === label);
        if (index < 0) return;
        this.#watchers.delete(look);
        resolve(this.#events.splice(index, 1)[0] as Message);
      };
      this.#watchers.add(look);
      look();
    });
  }

  lock(name: string, options: LockOptions = {}): Promise<number> {
    return this.ask('lock', name, options);
  }

  lockSync(name: string, options: LockOptions = {}): Promise<number> {
    return this.ask('lockSync', name, options);
  }

  tryLock(name: string, options: LockOptions = {}): Promise<number | null> {
    return this.ask('tryLock', name, options);
  }

  release(id: number): Promise<void> {
    return this.ask('release', id);
  }

  inspect(name: string, options: LockOptions = {}): Promise<LockStatus> {
    return this.ask('inspect', name, options);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** kill -9, and the wait until the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
  }
}
