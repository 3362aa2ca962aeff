import type { JsonValue } from '../types.js';

/** What a session needs of a client of `pg`; every `pg.Client` (8) is one. */
export interface PostgresClient {
  connect(): Promise<unknown>;
  query(config: {
    text: string;
    values?: unknown[];
    name?: string;
    types?: { getTypeParser: () => (value: string) => string };
  }): Promise<{ rows: Record<string, unknown>[] }>;
  end(): Promise<void>;
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown;
}

/** Which server, and how closely it is watched. */
export interface ServerOptions {
  /**
   * `postgres://user@host:5432/database`. Without it and without `client`: what `PGHOST`,
   * `PGPORT`, `PGUSER`, `PGDATABASE`, `PGPASSWORD`, `PGSSLMODE` and a `.pgpass` file say, as for
   * `psql`. It has to lead to the server itself, not to a pooler.
   */
  connectionString?: string | undefined;
  /**
   * Makes a client that was not connected yet: for certificates, a password that is fetched, and
   * whatever else `new pg.Client(…)` takes. It is called for each session.
   */
  client?: (() => PostgresClient) | undefined;
  /**
   * How long the server may leave a question unanswered before the lock counts as lost, in
   * milliseconds; it is asked twice in that time. From 100; default 5,000. The server gives the
   * lock of a client that has vanished to the next one after about four times as long.
   */
  heartbeat?: number | undefined;
}

/** How a lock is acquired without waiting. */
export interface TryLockOptions {
  /** `true`: a reader's lock, which any number may hold at once while nobody holds it exclusively. Default `false`. */
  shared?: boolean | undefined;
  /** Kept in the server's table for people who ask who holds the lock. At most 1,024 bytes as JSON. */
  metadata?: JsonValue | undefined;
}

/** How a lock is acquired. */
export interface LockOptions extends TryLockOptions {
  /**
   * `false` (default): fail at once where the lock is held. `true`: wait without end. A number:
   * wait for that many milliseconds, 0 to 2,147,483,647; connecting has 10 seconds of its own.
   */
  wait?: boolean | number | undefined;
  /** Cancels the wait: the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How a holder's session is ended. */
export interface KillOptions {
  /** How long to wait until the server has freed the lock, in milliseconds. Default 10,000. */
  timeout?: number | undefined;
}
