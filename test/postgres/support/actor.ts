// The test's end of actor.mjs.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const SCRIPT = fileURLToPath(new URL('./actor.mjs', import.meta.url));

interface Message {
  id?: number;
  event?: string;
  value?: unknown;
  error?: { name: string; code: string; message: string };
}

export class Actor {
  readonly #child: ChildProcess;
  readonly #received: Message[] = [];
  readonly #watchers = new Set<() => void>();
  readonly ended: Promise<unknown>;
  #next = 1;

  /** `prefix`: a command that runs node elsewhere, in a network namespace for one. */
  static async start(url: string, heartbeat?: number, prefix: string[] = []): Promise<Actor> {
    const actor = new Actor(url, heartbeat, prefix);
    onTestFinished(() => actor.kill());
    await actor.event('ready');
    return actor;
  }

  private constructor(url: string, heartbeat: number | undefined, prefix: string[]) {
    const args = [...prefix, process.execPath, SCRIPT, url, String(heartbeat ?? '')];
    this.#child = spawn(args[0] as string, args.slice(1), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.ended = once(this.#child, 'exit');
    this.#child.on('message', (message: Message) => {
      this.#received.push(message);
      for (const watcher of this.#watchers) watcher();
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  #find(wanted: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const index = this.#received.findIndex(wanted);
        if (index < 0) return;
        this.#watchers.delete(look);
        resolve(this.#received.splice(index, 1)[0] as Message);
      };
      this.#watchers.add(look);
      this.#child.on('exit', (code, signal) => reject(new Error(`ended by ${signal ?? code}`)));
      look();
    });
  }

  async event(label: string): Promise<unknown> {
    return (await this.#find(({ event }) => event === label)).value;
  }

  async ask(verb: string, ...args: unknown[]): Promise<unknown> {
    const id = this.#next++;
    this.#child.send({ id, verb, args });
    const { value, error } = await this.#find((message) => message.id === id);
    if (error !== undefined) throw Object.assign(new Error(error.message), error);
    return value;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
