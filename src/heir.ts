// Who may be signalled for a lock that another process acquired. A child inherits the descriptor,
// but any process that accepts descriptors can be sent one as well: that it has one says nothing.

import type { FileLocks, ProcessFacts } from './kernel.js';
import { describeProcess, LockTable, startToken } from './system.js';

/** The process that acquired a lock, by the kernel's word, as it was at the first look. */
export interface Acquirer {
  startToken: string | undefined;
  /** `undefined` where it was not seen to have the lock. */
  facts: ProcessFacts | undefined;
}

/** One that has ended, of whom nothing is known. */
export const UNKNOWN_ACQUIRER: Acquirer = { startToken: undefined, facts: undefined };

/** What is known of the process that acquired one of these locks. */
export function acquirerOf(pid: number, { holders }: FileLocks): Acquirer {
  // One that was not seen to have the descriptor may be a stranger that has a dead one's pid.
  const named = holders.find((one) => one.pid === pid && one.caller === pid);
  const seen = named?.unconfirmed ? undefined : named;
  const facts = seen && describeProcess(pid);
  const isSame = facts?.startToken !== undefined && facts.startToken === seen?.startToken;
  // That of the look: by now the pid may be another's, which holds the lock in its turn.
  return { startToken: named?.startToken ?? startToken(pid), facts: isSame ? facts : undefined };
}

/**
 * Whether the process, which has a descriptor of the lock at `path` that `caller` acquired, is of
 * that one's user; where that is not known, of the only user who can have opened the descriptor.
 */
export function isHeir(pid: number, caller: number, path: string, acquirer?: Acquirer): boolean {
  const heir = describeProcess(pid);
  if (heir.soleUid === undefined) return false;
  const uid = userOf(acquirer?.facts, heir) ?? new LockTable().openerOf(pid, caller, path);
  return heir.soleUid === uid;
}

// Anybody can make a process of theirs root's, by sudo and its kin: that of root counts in its own
// process group only, into which no stranger can be brought.
function userOf(acquirer: ProcessFacts | undefined, heir: ProcessFacts): number | undefined {
  const isKin = acquirer?.processGroup === heir.processGroup && heir.processGroup !== undefined;
  return acquirer?.soleUid === 0 && !isKin ? undefined : acquirer?.soleUid;
}
