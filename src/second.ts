// A refused second instance hands its arguments to the first one, over a socket in a directory that
// nobody but the user can enter. What needs node:net, node:crypto and threads is loaded where
// somebody wants it.

import { mkdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Server, Socket } from 'node:net';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { whyNotOwn } from './own-directory.js';
import { lockDirectory } from './path.js';

/** How a second instance was started: its `process.argv`, and its working directory. */
export interface SecondInstance {
  argv: string[];
  cwd: string;
}

/** The longest message, in bytes. */
const MAX_MESSAGE = 1_048_576;
/** How many may talk to the first instance at once. */
const MAX_CONNECTIONS = 100;
/** How long one may take to say what it has to say, in milliseconds. */
const MAX_CONNECTION_TIME = 5000;
/** How long a second instance is held up by handing over, in milliseconds, at the most. */
const HAND_OVER_TIME = 5000;
/** How long it looks for one that listens, which may be about to end, or to listen. */
const CONNECT_TIME = 250;
/** How long after it has acquired a first one may not have got round to listening yet. */
const LISTEN_TIME = 2000;
/** A socket's path has room for so many bytes on every POSIX system. */
const MAX_SOCKET_PATH = 103;

const onWindows = process.platform === 'win32';

/**
 * Calls `hear` for each second instance that hands over to the holder of the lock at `lockPath`,
 * and `failed` where that can't be offered. Keeps no process alive. The lock has to be held
 * exclusively, because what an earlier holder left is replaced. Returns a function that ends it, to
 * be called before the lock is released.
 */
export function hearSecondInstances(
  lockPath: string,
  hear: (second: SecondInstance) => void,
  failed: (reason: string) => void,
): () => void {
  let server: Server;
  try {
    const load = createRequire(import.meta.url);
    if (!onWindows) mkdirSync(ownDirectory(), { recursive: true, mode: 0o700 });
    const address = addressOf(lockPath);
    if (!onWindows) {
      if (Buffer.byteLength(address) > MAX_SOCKET_PATH) throw new Error(`${address} is too long`);
      rmSync(address, { force: true });
    }
    const { createServer }: typeof import('node:net') = load('node:net');
    server = createServer({ allowHalfOpen: true }, (socket) => receive(server, socket, hear));
    server.maxConnections = MAX_CONNECTIONS;
    server.on('error', (error) => failed(error.message));
    // Also in a cluster, whose primary would outlive the lock, and then delete the next holder's.
    server.listen({ path: address, exclusive: true }).unref();
  } catch (error) {
    failed((error as Error).message);
    return () => {};
  }
  // The file goes while the lock is still held: afterwards it may be the next holder's.
  if (servers.size === 0) process.on('exit', closeAll);
  servers.add(server);
  return () => {
    servers.delete(server);
    if (servers.size === 0) process.off('exit', closeAll);
    server.close();
  };
}

const servers = new Set<Server>();

function closeAll(): void {
  for (const server of servers) server.close();
}

function receive(server: Server, socket: Socket, hear: (second: SecondInstance) => void): void {
  socket.unref();
  const timer = setTimeout(() => socket.destroy(), MAX_CONNECTION_TIME).unref();
  const chunks: Buffer[] = [];
  let size = 0;
  socket.on('close', () => clearTimeout(timer));
  socket.on('error', () => {}); // it is gone; 'close' follows
  socket.on('data', (chunk) => {
    size += chunk.length;
    if (size > MAX_MESSAGE) socket.destroy();
    else chunks.push(chunk);
  });
  socket.on('end', () => {
    const second = parseMessage(Buffer.concat(chunks).toString());
    if (second === undefined || !server.listening) return void socket.destroy();
    socket.end('ok');
    hear(second);
  });
}

function parseMessage(text: string): SecondInstance | undefined {
  let value: Partial<SecondInstance> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { argv, cwd } = value ?? {};
  if (typeof cwd !== 'string' || !Array.isArray(argv)) return undefined;
  return argv.every((arg) => typeof arg === 'string') ? { argv, cwd } : undefined;
}

/**
 * Hands this process's arguments to the holder of the lock at `lockPath`, who has had it for `held`
 * milliseconds, if that is known. Blocks the thread, five seconds at the most. Returns whether the
 * holder confirmed; one that is busy may hear of it later.
 */
export function handOver(lockPath: string, held = Number.POSITIVE_INFINITY): boolean {
  try {
    const message = JSON.stringify({ argv: process.argv, cwd: workingDirectory() });
    if (Buffer.byteLength(message) > MAX_MESSAGE) return false;
    const load = createRequire(import.meta.url);
    const { Worker }: typeof import('node:worker_threads') = load('node:worker_threads');
    const state = new Int32Array(new SharedArrayBuffer(4));
    const address = addressOf(lockPath);
    const connectTime = Math.max(CONNECT_TIME, LISTEN_TIME - held);
    const workerData = { address, message, state, connectTime };
    // The program's own options (--import and the like) are not for this thread.
    const worker = new Worker(HAND_OVER, { eval: true, execArgv: [], env: {}, workerData });
    worker.on('error', () => {});
    worker.unref();
    Atomics.wait(state, 0, 0, HAND_OVER_TIME);
    void worker.terminate();
    return Atomics.load(state, 0) === CONFIRMED;
  } catch {
    return false; // nothing there, or a thread is not permitted
  }
}

const CONFIRMED = 1;

// The program of the thread that talks while the main thread is blocked. It ends with 1 in `state`,
// or with 2 where nobody confirmed.
const HAND_OVER = `
  const { connect } = require('node:net');
  const { address, message, state, connectTime } = require('node:worker_threads').workerData;
  const started = performance.now();
  const end = (result) => {
    Atomics.compareExchange(state, 0, 0, result);
    Atomics.notify(state, 0);
  };
  const attempt = () => {
    const socket = connect(address, () => socket.end(message));
    socket.on('data', () => end(1));
    socket.on('error', () => {});
    socket.on('close', () => {
      if (performance.now() - started > connectTime) end(2);
      if (Atomics.load(state, 0) === 0) setTimeout(attempt, 10);
    });
  };
  attempt();
`;

/**
 * Where the holder of the lock at `lockPath` listens, by the identity of the lock's file: a path
 * may lead there by other names, or elsewhere in a container that has the same home. Throws where
 * others could have put that there.
 */
function addressOf(lockPath: string): string {
  const { createHash }: typeof import('node:crypto') = createRequire(import.meta.url)(
    'node:crypto',
  );
  const { dev, ino } = statSync(lockPath, { bigint: true });
  const { username } = userInfo();
  const id = createHash('sha256')
    .update(`${hostname()}\0${username}\0${dev}:${ino}`)
    .digest('hex')
    .slice(0, 32);
  if (onWindows) return `\\\\.\\pipe\\kernel-lock-${id}`;
  // The system checks who may enter a directory on every POSIX system; not everywhere who may open
  // a socket.
  const reason = whyNotOwn(ownDirectory());
  if (reason !== undefined) throw new Error(reason);
  return join(ownDirectory(), `${id}.sock`);
}

const ownDirectory = () => lockDirectory({ scope: 'user' });

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return ''; // deleted
  }
}
