// What people are told about a holder.

import type { LockHeldError } from './errors.js';
import type { Termination } from './terminate.js';
import type { Holder, LocationOptions, PostgresHolder } from './types.js';

// Control characters (a terminal would obey them) and those that reorder or hide text.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** `text` with everything that a terminal could obey written out as `\u{…}`. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
}

/** `value` as JSON that a terminal shows and does not obey. */
export function printableJson(value: unknown, indent?: number): string {
  const escaped = (char: string) =>
    char === '\n'
      ? char
      : [...Array(char.length).keys()]
          .map((index) => `\\u${char.charCodeAt(index).toString(16).padStart(4, '0')}`)
          .join('');
  const text = (_: string, part: unknown) => (typeof part === 'bigint' ? String(part) : part);
  return JSON.stringify(value, text, indent).replace(UNPRINTABLE, escaped);
}

/** A command line as a person would type it in a POSIX shell, safe to print. */
export function commandLine(argv: readonly string[]): string {
  return argv
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))
    .map(printable)
    .join(' ');
}

/** How far two clocks of one machine may be apart, in milliseconds. */
const SLACK = 1000;

/**
 * How long the holder has had the lock; `undefined` where that is not known, or where the clock
 * was set meanwhile so that it can't be true: a lock is not older than its holder, nor of tomorrow.
 */
export function heldMilliseconds(
  { acquiredAt, processStartedAt }: Pick<Holder, 'acquiredAt' | 'processStartedAt'>,
  now = Date.now(),
): number | undefined {
  if (acquiredAt === undefined) return undefined;
  const since = acquiredAt.getTime();
  const started = processStartedAt?.getTime() ?? Number.NEGATIVE_INFINITY;
  return since > now + SLACK || since < started - SLACK ? undefined : Math.max(0, now - since);
}

/** How much of a text that others have made is shown to people, in characters. */
const MAX_SHOWN = 2000;

/** A command line to be read, not pasted: the beginning, where it is of any length. */
export function commandOf(argv: readonly string[]): string {
  const shown: string[] = [];
  let left = MAX_SHOWN;
  for (const arg of argv) {
    if (left <= 0) return `${commandLine(shown)} …`;
    shown.push(clip(arg, left));
    left -= arg.length + 1;
  }
  return commandLine(shown);
}

function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}

/** What is known of a holder, a line each; what is not known has none. */
export function holderDetails(holder: Holder | PostgresHolder): string[] {
  const { pid, argv, cpuPercent, memoryBytes, status, metadata } = holder;
  const lines: [string, string | undefined][] = [
    ['pid=', pid === undefined ? undefined : String(pid)],
    ...(isRemote(holder) ? sessionDetails(holder) : []),
    ['started=', holder.processStartedAt?.toISOString()],
    ['executable=', holder.executable],
    ['argv=', argv && commandOf(argv)],
    ['cwd=', holder.cwd],
    ['user=', holder.user],
    ['metadata=', metadata === undefined ? undefined : JSON.stringify(metadata)],
    [isRemote(holder) ? 'Session status: ' : 'Process status: ', status],
    ['CPU: ', cpuPercent === undefined ? undefined : `${cpuPercent.toFixed(1)}%`],
    ['Memory: ', memoryBytes === undefined ? undefined : megabytes(memoryBytes)],
  ];
  return lines
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `  ${key}${printable(clip(value as string, 4 * MAX_SHOWN))}`);
}

/** Whether it holds a lock on a server. */
export function isRemote(holder: Holder | PostgresHolder): holder is PostgresHolder {
  return holder.source === 'server';
}

function sessionDetails(holder: PostgresHolder): [string, string | undefined][] {
  const { hostname, acquiredAt, applicationName, clientAddress, backendPid, token } = holder;
  return [
    ['host=', hostname],
    ['since=', acquiredAt?.toISOString()],
    ['application=', applicationName],
    ['address=', clientAddress],
    ['session=', String(backendPid)],
    ['token=', token === undefined ? undefined : String(token)],
  ];
}

/** `PID 12`, on a server with the host; or the session, where that is all that is known. */
export function nameOf(holder: Holder | PostgresHolder): string {
  if (!isRemote(holder)) return `PID ${holder.pid}`;
  const { pid, hostname, backendPid } = holder;
  return pid === undefined ? `session ${backendPid} of the server` : `PID ${pid} on ${hostname}`;
}

/** Why something is not known, a line each. */
export function unknownLines(unknown: readonly string[]): string[] {
  return unknown.map((reason) => `❔ ${printable(reason)}`);
}

/** What is said where nobody is known to hold the lock. */
export function notRunning(name: string, unknown: readonly string[]): string {
  const state = unknown.length > 0 ? 'UNKNOWN' : 'NOT RUNNING';
  return [`Application '${name}': ${state}`, ...unknownLines(unknown)].join('\n');
}

/** What a second instance says before it gives up. */
export function conflictReport(
  name: string,
  { holder, unknown }: LockHeldError,
  location: LocationOptions & { postgres?: string | undefined },
  handedOver = false,
): string {
  const lines = ['❌ Another instance is already running'];
  if (holder !== undefined) {
    lines.push(runningLine(holder));
    lines.push('Instance details:', ...holderDetails(holder));
  }
  lines.push(...unknownLines(unknown));
  if (handedOver) lines.push('📨 It has been given the arguments of this one');
  lines.push(`💡 To stop it: ${commandLine(['kernel-lock', name, ...flags(location), '--kill'])}`);
  return lines.join('\n');
}

/** `📍 Running instance PID: 12`. */
export function runningLine(holder: Holder | PostgresHolder): string {
  return `📍 Running instance ${printable(nameOf(holder).replace(/^PID /, 'PID: '))}`;
}

/** Whether the holder is a process that can be seen from here, not one that only the record names. */
export function isVisible(holder: Holder): boolean {
  return holder.processStartedAt !== undefined;
}

/** `PID 1, PID 2`. */
export function pids(holders: readonly Holder[]): string {
  return holders.map(({ pid }) => `PID ${pid}`).join(', ');
}

/** The code of a refusal to signal a process that has a lock's descriptor from a stranger. */
export const NOT_ACQUIRED = 'NOT_ACQUIRED';

/**
 * Why those who were to be ended hold on, and what would help. `force`: whether they got SIGKILL;
 * `option` is how a user asks for that.
 */
export function stillRunning(
  { remaining, asked: addressed, refusals, missed }: Termination,
  force: boolean,
  option: string,
): string {
  const seen = remaining.filter(isVisible);
  if (seen.length === 0) return 'the holder can not be found from here, nor be asked';
  const denied = seen.filter(({ pid }) => refusals.get(pid)?.code === 'EPERM');
  const asked = seen.filter(({ pid }) => addressed.has(pid) && !refusals.has(pid));
  const deaf = asked.filter((holder) => whyDeaf(holder, force) === undefined);
  const reasons = [
    ...seen.flatMap(({ pid, user = 'of an unknown user' }) => {
      const error = refusals.get(pid);
      if (error === undefined || error.code === 'EPERM') return [];
      if (error.code === NOT_ACQUIRED) {
        return [`PID ${pid} (${printable(user)}) ${HAS_IT_FROM_A_STRANGER}`];
      }
      if (error.code === 'ERROR_NOT_SUPPORTED') {
        return [`PID ${pid} ${WINDOWS_CAN_NOT_ASK}; ${option} ends it`];
      }
      if (error.syscall === 'opendir') {
        return [`PID ${pid} (${printable(user)}) ${MAY_NOT_BE_LOOKED_INTO}`];
      }
      return [`PID ${pid} could not be signalled: ${error.message}`];
    }),
    ...asked.flatMap((holder) => whyDeaf(holder, force) ?? []),
  ];
  if (denied.length > 0) reasons.unshift(`this user may not signal ${pids(denied)}`);
  if (deaf.length > 0) {
    reasons.push(`${pids(deaf)} ${force ? 'got SIGKILL and has not ended yet' : 'did not stop'}`);
  }
  const quick = seen.filter(({ pid }) => missed.has(pid));
  if (quick.length > 0) reasons.push(`${pids(quick)} ${TAKES_TURNS}`);
  if (reasons.length === 0) reasons.push(`${pids(seen)} ${LEFT_ALONE}`);
  const advice = `${option} would send SIGKILL, which can not be ignored`;
  const helps = !force && asked.some(({ pid }) => pid !== FIRST_PROCESS);
  return [...reasons, ...(helps ? [advice] : [])].join('; ');
}

const LEFT_ALONE =
  'holds it by the word of the lock table alone, and was left alone: end it by hand';
const TAKES_TURNS =
  'had let go of it each time it was to be signalled, and has acquired it again: try once more';
const HAS_IT_FROM_A_STRANGER =
  'holds a descriptor of the lock that it did not acquire, and was left alone: end it by hand';
const MAY_NOT_BE_LOOKED_INTO =
  'may not be looked into by this user, and was left alone: end it by hand';
const WINDOWS_CAN_NOT_ASK =
  'could not be asked: Windows has no signal for that, only Ctrl-C to a process that shares this console with nobody else';
const FIRST_PROCESS = 1;

function whyDeaf({ pid, status }: Holder, force: boolean): string | undefined {
  if (pid === FIRST_PROCESS) {
    return 'PID 1 did not stop: the kernel keeps signals without a handler, SIGKILL too, away from the first process of a container; stop the container from outside';
  }
  if (force) {
    if (status !== 'disk sleep') return undefined;
    return `PID ${pid} got SIGKILL, and waits in the kernel for a device or a file system (disk sleep)`;
  }
  if (status === 'stopped') {
    return `PID ${pid} is stopped (as by SIGSTOP or Ctrl-Z), and gets SIGTERM when it goes on: kill -CONT ${pid}`;
  }
  return status === 'traced'
    ? `PID ${pid} is traced, and its debugger keeps SIGTERM from it`
    : undefined;
}

/** The warning where a lock's directory is one that other processes do not see. */
export function privateDirectoryWarning(directory: string, reason: string): string {
  return (
    `⚠️  ${printable(directory)} may be private to this process: ${reason}. A program outside it ` +
    'can hold a lock of the same name. To share the lock, give both the same directory (such as ' +
    "the unit's StateDirectory= or a shared volume), or use scope 'user' where the home is shared"
  );
}

function flags({
  scope,
  directory,
  postgres,
}: LocationOptions & { postgres?: string | undefined }): string[] {
  if (postgres !== undefined) return ['--postgres', postgres];
  if (directory !== undefined) return ['--directory', directory];
  return scope === undefined || scope === 'machine' ? [] : ['--scope', scope];
}

/** As reports have it: `145.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
