// Who holds a lock: the server's word on sessions, joined with the record of the same session.

import type { JsonValue, PostgresHolder, PostgresStatus } from '../types.js';
import { isUnreadable, sqlStateOf, UNDEFINED_TABLE } from './failure.js';
import { isOurs, type Row, type Session } from './session.js';
import { ALL_SESSIONS, sessionsOf } from './table.js';

/** Who holds the lock now, and how many wait. Rejects with pg's errors. */
export async function statusOn(
  session: Session,
  name: string,
  key: string,
): Promise<PostgresStatus> {
  const ask = (recorded: boolean) => session.query({ text: sessionsOf(recorded), values: [key] });
  try {
    return statusOf(session.place, name, await ask(true));
  } catch (cause) {
    if (!isUnreadable(cause)) throw cause;
    const status = statusOf(session.place, name, await ask(false));
    const unknown = status.held ? [`${NO_TABLE} (${(cause as Error).message})`] : [];
    return { ...status, unknown };
  }
}

/** The held locks that have a name, by name. */
export async function listOn(session: Session): Promise<PostgresStatus[]> {
  const byName = new Map<string, Row[]>();
  const rows = await session.query({ text: ALL_SESSIONS }).catch((cause) => {
    if (sqlStateOf(cause) === UNDEFINED_TABLE) return []; // nobody has locked here yet
    throw cause;
  });
  for (const row of rows) {
    const name = row.name as string;
    byName.set(name, [...(byName.get(name) ?? []), row]);
  }
  return [...byName]
    .map(([name, rows]) => statusOf(session.place, name, rows))
    .filter(({ held }) => held);
}

const NO_TABLE =
  'The tables public.kernel_lock and public.kernel_lock_grant, which have the rest, could not be read';
const HIDDEN =
  'A session of another role, of which the server tells this role little; the role pg_read_all_stats is told all';
const NO_RECORD =
  'A session whose record is not there: of another program, or of a reader whom another one replaced';

function statusOf(path: string, name: string, rows: readonly Row[]): PostgresStatus {
  const granted = rows.filter((row) => row.granted === 't');
  const unknown = new Set<string>();
  for (const row of granted) {
    if (row.own !== 't') unknown.add(row.hidden === 't' ? HIDDEN : NO_RECORD);
  }
  return {
    name,
    path,
    held: granted.length > 0,
    shared: granted.length > 0 && granted.every(({ mode }) => mode === 'ShareLock'),
    holders: granted.map(holderOf),
    waiters: rows.length - granted.length,
    unknown: [...unknown],
  };
}

const ownHolders = new WeakSet<PostgresHolder>();
const starts = new WeakMap<PostgresHolder, string | null>();

/** Whether the holder's session is one of this thread. */
export function isOwn(holder: PostgresHolder): boolean {
  return ownHolders.has(holder);
}

/** When the holder's session started; `null` where this role is not told. */
export function startOf(holder: PostgresHolder): string | null {
  return starts.get(holder) ?? null;
}

/** Whether it is one session: a process of the server, with the moment of its start. In doubt, it is. */
export function isSame(one: PostgresHolder, other: PostgresHolder): boolean {
  if (one.backendPid !== other.backendPid) return false;
  const [start, otherStart] = [startOf(one), startOf(other)];
  return start === null || otherStart === null || start === otherStart;
}

function holderOf(row: Row): PostgresHolder {
  const own: Row = row.own === 't' ? row : {};
  const holder: PostgresHolder = {
    pid: own.pid == null ? undefined : Number(own.pid),
    acquiredAt: own.since == null ? undefined : new Date(Number(own.since)),
    processStartedAt: undefined,
    executable: undefined,
    argv: undefined,
    cwd: undefined,
    user: row.role ?? undefined,
    hostname: own.host ?? undefined,
    status: row.state ?? undefined,
    cpuPercent: undefined,
    memoryBytes: undefined,
    metadata: own.metadata == null ? undefined : (JSON.parse(own.metadata) as JsonValue),
    backendPid: Number(row.backend),
    applicationName: row.application || undefined,
    clientAddress: row.address ?? undefined,
    token: own.token == null ? undefined : BigInt(own.token),
    source: 'server',
  };
  starts.set(holder, row.start ?? null);
  if (isOurs(row)) ownHolders.add(holder);
  return holder;
}
