// Making a client of pg, and ending it.

import { onAbort } from '../cancel.js';
import { LockConnectionError, LockTypeError } from '../errors.js';
import type { PostgresClient, ServerOptions } from './types.js';

/** How long connecting and logging in may take, in milliseconds. */
const CONNECT_TIMEOUT = 10_000;
/** How long a goodbye may take before the socket is closed without one, in milliseconds. */
const GOODBYE_TIMEOUT = 1000;
/** After so much silence, in milliseconds, this side probes the connection, ten times a second apart. */
const KEEPALIVE_DELAY = 5000;

/** What there is in a client of pg beside what its types say. */
export interface Client extends PostgresClient {
  host?: string;
  port?: number;
  database?: string;
  processID?: number | null;
  secretKey?: number | null;
  ref?(): void;
  unref?(): void;
  connection?: { stream?: import('node:net').Socket; _connecting?: boolean };
}

/** A client for the server of `options`, not connected yet. */
export async function makeClient({ client, connectionString }: ServerOptions): Promise<Client> {
  if (client !== undefined) return checked(client());
  const { default: pg } = await importPg();
  return new pg.Client({
    ...(connectionString === undefined ? {} : { connectionString }),
    fallback_application_name: 'kernel-lock',
  }) as PostgresClient as Client;
}

function checked(client: PostgresClient): Client {
  const refuse = (what: string) => {
    throw new LockTypeError(
      'LOCK_INVALID_OPTION',
      `Invalid option 'client' (a function): it returned ${what}`,
    );
  };
  if (typeof client?.connect !== 'function' || typeof client.query !== 'function') {
    refuse('something else than a pg.Client');
  }
  if (isUsed(client)) refuse('a client that was connected before; each session wants a new one');
  return client;
}

// It is the caller's own then, and may be at work. Of its socket nothing follows: a connector (that of
// Cloud SQL) gives a client one that is connected already.
function isUsed({ processID, connection }: Client): boolean {
  return processID != null || connection?._connecting === true;
}

async function importPg(): Promise<typeof import('pg')> {
  try {
    return await import('pg');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new LockConnectionError(
      'Locks on PostgreSQL need the package pg, which is not installed: npm install pg@8',
      { cause },
    );
  }
}

/** `postgresql://host:5432/database`: where the client leads, without user and password. */
export function placeOf({ host = 'localhost', port, database }: Client): string {
  const onSocket = host.startsWith('/');
  const address = onSocket ? encodeURIComponent(host) : host.includes(':') ? `[${host}]` : host;
  const path = database == null ? '' : `/${encodeURIComponent(database)}`;
  return `postgresql://${address}:${port ?? 5432}${path}`;
}

/** Connects and logs in; a server that does not answer in time is an error like any other. */
export async function connectClient(client: Client, signal?: AbortSignal): Promise<void> {
  let give: (reason: unknown) => void = () => {};
  const givenUp = new Promise<never>((_, reject) => {
    give = reject;
  });
  const timer = setTimeout(
    () => give(new Error(`no answer within ${CONNECT_TIMEOUT / 1000} seconds`)),
    CONNECT_TIMEOUT,
  );
  const forget = signal && onAbort(signal, () => give(signal.reason));
  try {
    signal?.throwIfAborted(); // while the client was made
    const connected = client.connect();
    connected.catch(() => {}); // may fail after it was given up
    await Promise.race([connected, givenUp]);
    client.connection?.stream?.setKeepAlive?.(true, KEEPALIVE_DELAY);
  } catch (error) {
    destroy(client);
    throw error;
  } finally {
    clearTimeout(timer);
    forget?.();
  }
}

/** Says goodbye and closes the connection; resolves when it is closed. Never rejects. */
export async function closeClient(client: Client): Promise<void> {
  client.ref?.();
  const timer = setTimeout(() => destroy(client), GOODBYE_TIMEOUT);
  try {
    await client.end();
  } catch {
    destroy(client);
  } finally {
    clearTimeout(timer);
  }
}

/** Closes the connection without a word. */
export function destroy(client: Client): void {
  client.connection?.stream?.destroy();
  client.end().catch(() => {});
}

/**
 * Asks the server to cancel what this client's session is doing. That takes a connection of its own,
 * but no session: a server that is full does it too. `true` when the server has taken note: it hangs up
 * then. It gets `limit` milliseconds; after `false` it may still do it, whatever the session does by then.
 */
export async function cancelQuery(client: Client, limit: number): Promise<boolean> {
  const { host = '', port = 5432, processID, secretKey, connection } = client;
  if (processID == null || secretKey == null) return false;
  // The very server that the session is with: a name may stand for several.
  const { remoteAddress, remotePort } = connection?.stream ?? {};
  const { connect } = await import('node:net');
  const socket = host.startsWith('/')
    ? connect(`${host}/.s.PGSQL.${port}`)
    : connect(remotePort ?? port, remoteAddress ?? host);
  const CANCEL_REQUEST = 80877102;
  const message = Buffer.alloc(16);
  message.writeInt32BE(16, 0);
  message.writeInt32BE(CANCEL_REQUEST, 4);
  message.writeInt32BE(processID, 8);
  message.writeInt32BE(secretKey, 12);
  let noted = false;
  await new Promise<void>((resolve) => {
    socket.setTimeout(limit, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('end', () => {
      noted = true;
    });
    socket.on('close', () => resolve());
    socket.on('connect', () => socket.end(message));
    socket.resume();
  });
  return noted;
}
