// A session with the server: one connection, asked one thing at a time, and watched.

import { hostname } from 'node:os';
import { onAbort } from '../cancel.js';
import { LockUnsupportedError } from '../errors.js';
import {
  type Client,
  cancelQuery,
  closeClient,
  connectClient,
  destroy,
  makeClient,
  placeOf,
} from './client.js';
import { errorOf, STANDBY, sqlStateOf } from './failure.js';
import { utc } from './table.js';
import type { ServerOptions } from './types.js';

const DEFAULT_HEARTBEAT = 5000;
/** How long a server may take to note a cancellation, and to answer it, in milliseconds each. */
const CANCEL_TIMEOUT = 1000;

/** How long the next one has the server to itself once a lock was released, in milliseconds. */
const HAND_OVER = 2;

/** A row: PostgreSQL's own text for each column, whatever the client makes of types. */
export type Row = Record<string, string | null>;

/** A lock that has to know when its session is in doubt. */
export interface Dependent {
  lose(reason: string, cause: unknown): void;
  /** The session is ended on purpose. */
  close(): void;
}

export interface Query {
  text: string;
  values?: unknown[];
  /** The server keeps the plan of a statement with a name. */
  name?: string;
}

const asText = { getTypeParser: () => (value: string) => value };

// The sessions of this thread, wherever they lead.
const ours = new Set<string>();
const identity = ({ backend, start }: Row) => `${backend} ${start}`;

/** Whether a process of a server, with the moment of its start, serves a session of this thread. */
export function isOurs(row: Row): boolean {
  return ours.has(identity(row));
}

export class Session {
  readonly #client: Client;
  readonly #heartbeat: number;
  readonly #dependents = new Set<Dependent>();
  #turn: Promise<void> = Promise.resolve();
  #asked = 0;
  #timer: NodeJS.Timeout | undefined;
  #unanswered: NodeJS.Timeout | undefined;
  #failure: unknown;
  #over = false;
  #beating = false;
  #facts: Row = {};

  /** Where it leads, without user and password. */
  readonly place: string;
  /** Where it comes from: the name of this machine. */
  readonly host = hostname();

  private constructor(client: Client, heartbeat: number) {
    this.#client = client;
    this.#heartbeat = heartbeat;
    this.place = placeOf(client);
    client.on('error', (error) => this.lose(`its connection failed (${error?.message})`, error));
    client.on('end', () => this.lose('its connection was closed'));
  }

  /** @throws (rejects) LockError; the signal's reason. Leaves no connection behind then. */
  static async open(options: ServerOptions, signal?: AbortSignal): Promise<Session> {
    signal?.throwIfAborted();
    const client = await makeClient(options).catch((cause) => {
      throw errorOf(cause, 'the server');
    });
    const session = new Session(client, options.heartbeat ?? DEFAULT_HEARTBEAT);
    try {
      await connectClient(client, signal);
      await session.#prepare(signal);
    } catch (error) {
      session.#end();
      destroy(client);
      if (signal?.aborted === true) throw signal.reason;
      throw errorOf(session.#failure ?? error, session.place);
    }
    return session;
  }

  /** The process of the server that serves this session. */
  get backend(): string {
    return this.#facts.backend as string;
  }

  /** When that started: the two together mean this session and no other. */
  get backendStart(): string | null {
    return this.#facts.start ?? null;
  }

  /** The server's timeline: 1, and one more for each promotion of a standby. */
  get timeline(): string {
    return this.#facts.timeline ?? '1';
  }

  /**
   * Asks when what was asked before is answered; the answer has the time of a heartbeat. Rejects with
   * pg's error, or with what the session was lost by. Keeps the process alive.
   */
  query(query: Query): Promise<Row[]> {
    return this.#awake(this.#inTurn(query, true));
  }

  /** The same without a limit of time. */
  queryAtLeisure(query: Query): Promise<Row[]> {
    return this.#awake(this.#inTurn(query, false));
  }

  async #awake<T>(answer: Promise<T>): Promise<T> {
    if (this.#asked++ === 0 && !this.#over) this.#client.ref?.();
    try {
      return await answer;
    } finally {
      if (--this.#asked === 0 && !this.#over) this.#client.unref?.();
    }
  }

  async #inTurn(query: Query, limited: boolean): Promise<Row[]> {
    const before = this.#turn;
    let answered = () => {};
    this.#turn = new Promise((resolve) => {
      answered = resolve;
    });
    await before;
    try {
      if (this.#failure !== undefined) throw this.#failure;
      const asked = this.#client.query({ ...query, types: asText });
      return (await (limited ? this.#inTime(asked) : asked)).rows as Row[];
    } catch (error) {
      // pg itself gave up (its query_timeout), and the server may still grant.
      if (sqlStateOf(error) === undefined) {
        this.#abandon(`a question failed (${(error as Error).message})`, error);
      }
      throw this.#failure ?? error;
    } finally {
      answered();
    }
  }

  // A question that stays unanswered for too long ends the session, and with it the question.
  async #inTime<T>(answer: Promise<T>): Promise<T> {
    const silent = () => {
      if (this.#unanswered === timer) {
        this.#abandon(`the server left a question unanswered for ${this.#heartbeat} ms`);
      }
    };
    // What came in while this process was busy or stopped is read first: hence in the next turn.
    const timer = setTimeout(() => setImmediate(silent), this.#heartbeat);
    this.#unanswered = timer;
    if (this.#asked === 0) timer.unref();
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      this.#unanswered = undefined;
    }
  }

  /** From now on, `dependent` is told when the session is in doubt; at once, where it is lost. */
  keep(dependent: Dependent): void {
    if (this.#over) {
      dependent.lose('its session ended at once', this.#failure);
      return;
    }
    this.#dependents.add(dependent);
    this.#timer ??= setInterval(() => void this.#beat(), this.#heartbeat / 2).unref();
  }

  /** Whether it has ended: nothing that it held is held any more. */
  get isOver(): boolean {
    return this.#over;
  }

  letGo(dependent: Dependent): void {
    this.#dependents.delete(dependent);
  }

  /**
   * Cancels what the server is doing for this session. `false`: that has not ended in time, or what it does
   * next may be cancelled instead.
   */
  async cancel(): Promise<boolean> {
    const noted = await cancelQuery(this.#client, CANCEL_TIMEOUT);
    return noted && (await endsWithin(this.#turn, CANCEL_TIMEOUT));
  }

  /** Ends the session, and so releases what it holds. Never rejects. */
  async close(): Promise<void> {
    // A server that waits for its synchronous standbys does not look whether its clients are there.
    if (this.#asked > 0) void cancelQuery(this.#client, CANCEL_TIMEOUT);
    const dependents = this.#end();
    for (const dependent of dependents) dependent.close();
    await closeClient(this.#client);
  }

  /**
   * The same after a moment: a server that ends a session has work with that, and whoever was granted the
   * lock now would wait for it too.
   */
  async leave(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, HAND_OVER));
    await this.close();
  }

  async #beat(): Promise<void> {
    if (this.#beating || this.#dependents.size === 0) return;
    this.#beating = true;
    try {
      const [row] = await this.#inTurn(WHO, true);
      if (row?.backend !== this.backend) this.lose(POOLED);
    } catch (error) {
      this.lose(`a heartbeat failed (${(error as Error).message})`, error);
    } finally {
      this.#beating = false;
    }
  }

  async #prepare(signal: AbortSignal | undefined): Promise<void> {
    const forget = signal && onAbort(signal, () => destroy(this.#client));
    try {
      await this.#check();
    } finally {
      forget?.();
    }
  }

  async #check(): Promise<void> {
    const [facts = {}] = await this.query({ text: sessionFacts(this.#client.processID) });
    const refuse = (why: string) => {
      const message = `${this.place} can't lock: ${why}`;
      throw new LockUnsupportedError(message, { path: this.place });
    };
    if (facts.direct !== 't') refuse(`${POOLED}. ${DIRECT}`);
    if (facts.standby === 't') {
      refuse(`it is a standby, and its locks keep nobody from the primary's. ${STANDBY}`);
    }
    const [again] = await this.query({ text: settings(this.#heartbeat, facts.settable === 't') });
    if (facts.backend !== again?.backend) refuse(`${POOLED}. ${DIRECT}`);
    this.#facts = facts;
    ours.add(identity(facts));
  }

  #end(): Dependent[] {
    this.#over = true;
    ours.delete(identity(this.#facts));
    clearInterval(this.#timer);
    const dependents = [...this.#dependents];
    this.#dependents.clear();
    return dependents;
  }

  // With a question that the server may still be at.
  #abandon(reason: string, cause?: unknown): void {
    if (this.#over) return;
    void cancelQuery(this.#client, CANCEL_TIMEOUT);
    this.lose(reason, cause);
  }

  /** Ends it as one that is in doubt. */
  lose(reason: string, cause?: unknown): void {
    if (this.#over) return;
    this.#failure = cause ?? new Error(reason);
    const dependents = this.#end();
    destroy(this.#client);
    for (const dependent of dependents) dependent.lose(reason, cause);
  }
}

const WHO: Query = { name: 'kernel-lock heartbeat', text: 'SELECT pg_backend_pid() AS backend' };

const POOLED =
  "its sessions are not the client's own, as behind a pooler (pgbouncer) that gives them to others in between";
const DIRECT = 'A lock belongs to a session: connect to the server itself';

// A pooler tells its clients process numbers of its own.
function sessionFacts(processID: number | null | undefined): string {
  const direct = processID == null ? 'true' : `pg_backend_pid() = ${Number(processID)}`;
  return `SELECT pg_backend_pid() AS backend, ${direct} AS direct, pg_is_in_recovery() AS standby,
    version() ~ 'linux' AS settable,
    (SELECT ${utc('backend_start')} FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS start,
    CASE WHEN pg_is_in_recovery() THEN 1
      ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    END AS timeline`;
}

// No timeout ends a session that holds or waits. The server gives up a client that has vanished after
// four heartbeats, when that client has given up the server, and stopped its program, for long. It
// looks whether waiting clients are there (Linux; others refuse that setting). A token that was
// granted outlives a crash.
function settings(heartbeat: number, settable: boolean): string {
  const seconds = (part: number) => String(Math.max(1, Math.round((part * heartbeat) / 1000)));
  const wanted = {
    statement_timeout: '0',
    lock_timeout: '0',
    transaction_timeout: '0',
    idle_session_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    default_transaction_isolation: 'read committed',
    tcp_keepalives_idle: seconds(2),
    tcp_keepalives_interval: seconds(0.4),
    tcp_keepalives_count: '5',
    tcp_user_timeout: String(4 * heartbeat),
    ...(settable ? { client_connection_check_interval: '2000' } : {}),
    synchronous_commit: 'on',
  };
  const values = Object.entries(wanted).map(([name, value]) => `('${name}', '${value}')`);
  return `SELECT pg_backend_pid() AS backend, count(set_config(name, value, false))
    FROM pg_settings JOIN (VALUES ${values.join(', ')}) wanted (name, value) USING (name)
    WHERE name <> 'synchronous_commit' OR setting = 'off'`;
}

function endsWithin(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), milliseconds);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
