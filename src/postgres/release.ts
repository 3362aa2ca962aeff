// Releasing, and which statement does what.

import type { Query, Session } from './session.js';
import { EXCLUSIVE, SHARED, type Statements } from './table.js';

interface Wanted {
  readonly key: string;
  readonly shared: boolean;
}

/** It has a name, so that the server keeps its plan. */
export function statement({ shared }: Wanted, kind: keyof Statements): Query {
  const text = (shared ? SHARED : EXCLUSIVE)[kind];
  return { name: `kernel-lock ${kind}${shared ? ' shared' : ''}`, text };
}

/**
 * Releases it; `false` where the server says that the session did not hold it. Never rejects: a session
 * that did not answer is lost, with all that it holds, unless it was closed on purpose meanwhile.
 */
export async function unlock(session: Session, wanted: Wanted): Promise<boolean> {
  try {
    const query = { ...statement(wanted, 'unlock'), values: [wanted.key] };
    const [row] = await session.query(query);
    return row?.unlocked === 't';
  } catch (error) {
    session.lose(`its release failed (${(error as Error).message})`, error);
    return true;
  }
}
