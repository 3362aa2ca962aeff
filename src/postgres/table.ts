// The table of tokens and holders, and the statements that lock.

/**
 * Makes the table that the tokens grow in. It is run on first use; where the role that locks may not
 * create tables, run it as one that may, and grant it to that role. A name's row has to stay where it
 * is: the next token follows from it.
 */
export const MIGRATION = `CREATE TABLE IF NOT EXISTS public.kernel_lock (
  name text PRIMARY KEY,
  key bigint NOT NULL UNIQUE,
  token bigint NOT NULL,
  backend_pid integer NOT NULL,
  backend_start timestamptz,
  host text NOT NULL,
  pid integer NOT NULL,
  since timestamptz NOT NULL,
  metadata jsonb
) WITH (fillfactor = 50)`;

/** The statements that acquire, and the one that releases; `shared` ones for readers. */
export interface Statements {
  try: string;
  wait: string;
  unlock: string;
}

export const EXCLUSIVE = statements('');
export const SHARED = statements('_shared');

/** What is recorded of a grant, in the order of the statements' parameters after $3, the lowest token. */
export interface GrantRecord {
  backendStart: string | null;
  host: string;
  pid: number;
  metadata: string | null;
}

/** The parameters of `try` and `wait`. */
export function grantValues(name: string, key: string, floor: bigint, record: GrantRecord) {
  const { backendStart, host, pid, metadata } = record;
  return [name, key, String(floor), backendStart, host, pid, metadata];
}

// One statement: whoever is granted the lock has its token, and its record is there for others. The
// statement's snapshot is older than a grant that was waited for; ON CONFLICT takes the row as it is
// by then all the same (read committed), and the lock itself keeps others from it.
function statements(suffix: string): Statements {
  return {
    try: acquire(`pg_try_advisory_lock${suffix}($2::bigint)`),
    wait: acquire(`pg_advisory_lock${suffix}($2::bigint) IS NOT NULL`),
    unlock: `SELECT pg_advisory_unlock${suffix}($1::bigint) AS unlocked`,
  };
}

function acquire(attempt: string): string {
  return `WITH attempt AS MATERIALIZED (SELECT ${attempt} AS granted), record AS (
    INSERT INTO public.kernel_lock AS old
      (name, key, token, backend_pid, backend_start, host, pid, since, metadata)
    SELECT $1, $2::bigint, $3::bigint, pg_backend_pid(), $4::timestamptz, $5, $6::integer,
      clock_timestamp(), $7::jsonb
    FROM attempt WHERE granted
    ON CONFLICT (name) DO UPDATE SET token = greatest(old.token + 1, excluded.token),
      backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
      host = excluded.host, pid = excluded.pid, since = excluded.since,
      metadata = excluded.metadata
    RETURNING token)
  SELECT granted, (SELECT token FROM record) AS token, pg_backend_pid() AS backend,
    (SELECT name FROM public.kernel_lock WHERE key = $2::bigint AND name <> $1) AS other
  FROM attempt`;
}

/** The other name of a key, for $1 the name and $2 the key. */
export const OTHER_NAME =
  'SELECT name FROM public.kernel_lock WHERE key = $2::bigint AND name <> $1';

/** Whether the table is there. */
export const TABLE_EXISTS = "SELECT to_regclass('public.kernel_lock') IS NOT NULL AS exists";

// Advisory locks with a key of 64 bits have it in two halves, and 1 as objsubid.
const KEY = '((l.classid::bigint << 32) | l.objid::bigint)';
const ADVISORY = `l.locktype = 'advisory' AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/** Who of the sessions holds or awaits the lock with the key $1; `recorded`: with the table. */
export function sessionsOf(recorded: boolean): string {
  return `${sessions(recorded)} WHERE ${ADVISORY} AND ${KEY} = $1::bigint ORDER BY l.pid`;
}

/** The same of all locks that have a name. */
export const ALL_SESSIONS = `${sessions(true)} WHERE ${ADVISORY} AND k.name IS NOT NULL
  ORDER BY k.name, l.pid`;

function sessions(recorded: boolean): string {
  const record = recorded
    ? `k.name, k.token, k.host, k.pid, round(extract(epoch FROM k.since) * 1000) AS since,
       k.metadata, k.backend_pid = l.pid AND k.backend_start = a.backend_start AS own`
    : 'NULL AS name, false AS own';
  return `SELECT l.pid AS backend, l.granted, l.mode, a.usename AS role,
      a.application_name AS application, host(a.client_addr) AS address, a.state,
      a.backend_start IS NULL AS hidden, ${record}
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    ${recorded ? `LEFT JOIN public.kernel_lock k ON k.key = ${KEY}` : ''}`;
}

/** Ends the sessions that hold the lock with the key $1, but for this one's. */
export const TERMINATE = `SELECT l.pid AS backend, pg_terminate_backend(l.pid) AS sent
  FROM pg_locks l WHERE ${ADVISORY} AND ${KEY} = $1::bigint AND l.granted
  AND l.pid = ANY($2::integer[])`;
