// Releasing.

import type { Session } from './session.js';
import { statement } from './table.js';

interface Wanted {
  readonly key: string;
  readonly shared: boolean;
}

/**
 * Releases it; `false` where the server says that the session did not hold it. Never rejects: a session
 * that did not answer is lost, with all that it holds, unless it was closed on purpose meanwhile.
 */
export async function unlock(session: Session, wanted: Wanted): Promise<boolean> {
  try {
    const query = { ...statement('unlock', wanted.shared), values: [wanted.key] };
    const [row] = await session.query(query);
    return row?.unlocked === 't';
  } catch (error) {
    session.lose(`its release failed (${(error as Error).message})`, error);
    return true;
  }
}
