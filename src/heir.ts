// Who may be signalled for a lock that another process acquired. A child inherits the descriptor,
// but any process that accepts descriptors can be sent one as well: that it has one says nothing.

import type { FileLocks } from './kernel.js';
import { describeProcess, LockTable, startToken } from './system.js';

/** The process that acquired a lock, by the kernel's word, as it was at the first look. */
export interface Acquirer {
  startToken: string | undefined;
  /** Whose process it is; `undefined` where it holds the lock no more, or runs a setuid program. */
  uid: number | undefined;
}

/** What is known of the process that acquired one of these locks. */
export function acquirerOf(pid: number, { holders }: FileLocks): Acquirer {
  // One that was not seen to have the descriptor may be a stranger that has a dead one's pid.
  const seen = holders.find((one) => one.pid === pid && one.caller === pid && !one.unconfirmed);
  const facts = seen && describeProcess(pid);
  const isSame = facts?.startToken !== undefined && facts.startToken === seen?.startToken;
  return { startToken: startToken(pid), uid: isSame ? facts.soleUid : undefined };
}

/**
 * Whether the process, which has a descriptor of the lock at `path` that `caller` acquired, is of the
 * user `uid`, as that one was; where that is not known, of the only one who can have opened it.
 */
export function isHeir(pid: number, caller: number, path: string, uid?: number): boolean {
  const { soleUid } = describeProcess(pid);
  if (soleUid === undefined) return false;
  return soleUid === (uid ?? new LockTable().openerOf(pid, caller, path));
}
