// The tables of tokens and holders, and the statements that lock.

/**
 * Tokens that are reserved at once. Reserving waits for the server's disk (and for its synchronous
 * standbys), granting does not.
 */
const BLOCK = 1000;

/**
 * Makes the tables: of the tokens that are reserved for each name, and of the last grant of each. They
 * are made on first use; where the role that locks may not create tables, run this as one that may,
 * and grant them to that role. A name's row in `kernel_lock` has to stay where it is: the next token
 * follows from it. `kernel_lock_grant` is unlogged: a crash of the server, or a failover, empties it,
 * and ends all whom it tells of.
 */
export const MIGRATION = `CREATE TABLE IF NOT EXISTS public.kernel_lock (
  name text PRIMARY KEY,
  key bigint NOT NULL UNIQUE,
  reserved bigint NOT NULL
);
CREATE UNLOGGED TABLE IF NOT EXISTS public.kernel_lock_grant (
  name text PRIMARY KEY,
  token bigint NOT NULL,
  reserved bigint NOT NULL,
  backend_pid integer NOT NULL,
  backend_start timestamptz,
  host text NOT NULL,
  pid integer NOT NULL,
  since timestamptz NOT NULL,
  metadata json
) WITH (fillfactor = 50)`;

/** The other name of a key, for $1 the name and $2 the key. */
export const OTHER_NAME =
  'SELECT name FROM public.kernel_lock WHERE key = $2::bigint AND name <> $1';

/** The statements that acquire, and the one that releases. */
interface Statements {
  try: string;
  wait: string;
  unlock: string;
}

const EXCLUSIVE = statements('');
const SHARED = statements('_shared');

/** One of them, `shared` for readers. It has a name, so that the server keeps its plan. */
export function statement(kind: keyof Statements, shared: boolean) {
  const text = (shared ? SHARED : EXCLUSIVE)[kind];
  return { name: `kernel-lock ${kind}${shared ? ' shared' : ''}`, text };
}

/** What is recorded of a grant: the parameters of `try`, of `wait` and of `RESERVE` after the key. */
export interface GrantRecord {
  backendStart: string | null;
  host: string;
  pid: number;
  metadata: string | null;
}

export function grantValues(name: string, key: string, record: GrantRecord) {
  const { backendStart, host, pid, metadata } = record;
  return [name, key, backendStart, host, pid, metadata];
}

function statements(suffix: string): Statements {
  return {
    try: acquire(`pg_try_advisory_lock${suffix}($2::bigint)`),
    wait: acquire(`pg_advisory_lock${suffix}($2::bigint) IS NOT NULL`),
    unlock: `SELECT pg_advisory_unlock${suffix}($1::bigint) AS unlocked`,
  };
}

// One statement: whoever is granted the lock has the next token, unless those that are reserved are
// used up, and its record is there for others. The statement's snapshot is older than a grant that was
// waited for; UPDATE takes the row as it is by then all the same (read committed), and asks for the
// lock only once, because that is materialized.
function acquire(attempt: string): string {
  return `WITH attempt AS MATERIALIZED (SELECT ${attempt} AS granted), record AS (
    UPDATE public.kernel_lock_grant SET token = token + 1, backend_pid = pg_backend_pid(),
      backend_start = $3::timestamptz, host = $4, pid = $5::integer, since = clock_timestamp(),
      metadata = $6::json
    FROM attempt WHERE granted AND name = $1 AND token < reserved
    RETURNING token)
  SELECT granted, (SELECT token FROM record) AS token,
    CASE WHEN NOT granted THEN (${OTHER_NAME}) END AS other
  FROM attempt`;
}

/**
 * For one who holds the lock and got no token, because none was left or the name had no row when the
 * wait began: reserves as many as a block has, and takes the first. That is committed to the disk before
 * anybody sees it: a token that was granted is not granted again after a crash.
 *
 * A standby may know less than was reserved. But a block begins with the server's clock at least, in
 * microseconds, and nobody grants faster; and after a promotion the other table is empty. A dump, and a
 * copy of a server that was stopped in order, are not: docs/postgres.md. Each promotion, by the number of the server's timeline ($7), puts
 * it 2^30 microseconds ahead (18 minutes), in case the new server's clock is behind.
 */
export const RESERVE = `WITH reservation AS (
    INSERT INTO public.kernel_lock AS old (name, key, reserved)
    VALUES ($1, $2::bigint, ${BLOCK} + greatest(
      (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + (($7::bigint - 1) << 30),
      (SELECT reserved FROM public.kernel_lock_grant WHERE name = $1)))
    ON CONFLICT (name) DO UPDATE
      SET reserved = greatest(old.reserved + ${BLOCK}, excluded.reserved)
    RETURNING reserved - ${BLOCK} + 1 AS token, reserved)
  INSERT INTO public.kernel_lock_grant
    (name, token, reserved, backend_pid, backend_start, host, pid, since, metadata)
  SELECT $1, token, reserved, pg_backend_pid(), $3::timestamptz, $4, $5::integer,
    clock_timestamp(), $6::json
  FROM reservation
  ON CONFLICT (name) DO UPDATE SET token = excluded.token, reserved = excluded.reserved,
    backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
    host = excluded.host, pid = excluded.pid, since = excluded.since, metadata = excluded.metadata
  RETURNING token`;

/** Whether the tables are there. */
export const TABLES_EXIST = `SELECT to_regclass('public.kernel_lock') IS NOT NULL
  AND to_regclass('public.kernel_lock_grant') IS NOT NULL AS exist`;

/** A moment as text that every session reads alike, whatever its DateStyle and TimeZone. */
export const utc = (column: string) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'`;

// Advisory locks with a key of 64 bits have it in two halves, and 1 as objsubid.
const KEY = '((l.classid::bigint << 32) | l.objid::bigint)';
const ADVISORY = `l.locktype = 'advisory' AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

const RECORD = `LEFT JOIN public.kernel_lock k ON k.key = ${KEY}
    LEFT JOIN public.kernel_lock_grant g ON g.name = k.name`;

/** Who of the sessions holds or awaits the lock with the key $1; `recorded`: with the table. */
export function sessionsOf(recorded: boolean): string {
  return `${sessions(recorded)} WHERE ${ADVISORY} AND ${KEY} = $1::bigint ORDER BY l.pid`;
}

/** The same of all locks that have a name. */
export const ALL_SESSIONS = `${sessions(true)} WHERE ${ADVISORY} AND k.name IS NOT NULL
  ORDER BY k.name, l.pid`;

function sessions(recorded: boolean): string {
  const record = recorded
    ? `k.name, g.token, g.host, g.pid, round(extract(epoch FROM g.since) * 1000) AS since,
       g.metadata, g.backend_pid = l.pid AND g.backend_start = a.backend_start AS own`
    : 'NULL AS name, false AS own';
  return `SELECT l.pid AS backend, l.granted, l.mode, a.usename AS role,
      a.application_name AS application, host(a.client_addr) AS address, a.state,
      a.backend_start IS NULL AS hidden, ${utc('a.backend_start')} AS start, ${record}
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    ${recorded ? RECORD : ''}`;
}

/** Ends the session of the process $2 that started at $3 (where that is known), if it holds the key $1. */
export const TERMINATE = `SELECT l.pid AS backend, pg_terminate_backend(l.pid) AS sent
  FROM pg_locks l WHERE ${ADVISORY} AND ${KEY} = $1::bigint AND l.granted
  AND l.pid = $2::integer AND ($3::timestamptz IS NULL OR EXISTS (
    SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND a.backend_start = $3::timestamptz))`;
