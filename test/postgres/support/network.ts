// A host of its own for a client: a network namespace with one cable to this one.
import { execFileSync } from 'node:child_process';
import { onTestFinished } from 'vitest';

let count = 0;

export class Network {
  readonly #name: string;
  readonly #cable: string;
  /** This side's address, for the server. */
  readonly address: string;

  constructor() {
    const id = process.pid % 16_000;
    const subnet = `10.${200 + (count % 50)}.${id >> 6}`;
    const host = (id & 63) * 4;
    this.#name = `kltest-${process.pid}-${count++}`;
    this.#cable = `kl${process.pid.toString(36)}${count}`;
    this.address = `${subnet}.${host + 1}`;
    ip('netns', 'add', this.#name);
    onTestFinished(() => ip('netns', 'del', this.#name));
    ip('link', 'add', this.#cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.#name);
    ip('addr', 'add', `${this.address}/30`, 'dev', this.#cable);
    ip('link', 'set', this.#cable, 'up');
    ip('-n', this.#name, 'addr', 'add', `${subnet}.${host + 2}/30`, 'dev', 'eth0');
    ip('-n', this.#name, 'link', 'set', 'eth0', 'up');
  }

  /** A command prefix that runs what follows there. */
  get prefix(): string[] {
    return ['ip', 'netns', 'exec', this.#name];
  }

  /** Nobody is told of it: what is sent is lost from now on. */
  cut(): void {
    ip('-n', this.#name, 'route', 'add', 'blackhole', `${this.address}/32`);
    execFileSync('ip', ['route', 'add', 'blackhole', this.peer]);
    onTestFinished(() => {
      execFileSync('ip', ['route', 'del', 'blackhole', this.peer]);
    });
  }

  get peer(): string {
    const parts = this.address.split('.');
    return [...parts.slice(0, 3), Number(parts[3]) + 1].join('.');
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args);
}
