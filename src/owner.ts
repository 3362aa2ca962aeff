// The owner record: what a holder claims of itself in the lock file. A hint for people; whether
// a lock is held, and whom a kill hits, is never decided by it.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { ownStartToken } from './system.js';
import type { JsonValue } from './types.js';

/** The record's size in the file, in bytes; record.h has the same. */
export const RECORD_BYTES = 4096;
const VERSION = 1;

/** What was found in a record; fields that were missing or of the wrong type are `undefined`. */
export interface OwnerRecord {
  pid: number;
  startToken: string | undefined;
  acquiredAt: Date | undefined;
  executable: string | undefined;
  argv: string[] | undefined;
  cwd: string | undefined;
  user: string | undefined;
  hostname: string | undefined;
  metadata: JsonValue | undefined;
  /** The one user, beside root, that could have written it; `undefined` where several could. */
  writer: number | undefined;
}

/** What of a record differs where the process is about to become another program. */
export interface Program {
  executable: string;
  argv: readonly string[];
}

/**
 * The part of this process's records that is the same in all of them, up to the comma before
 * `acquiredAt`, which the native part appends. What is too long is cut with an ellipsis, so
 * that every record fits.
 */
export function recordHead(cwd: string, program?: Program): string {
  const json = JSON.stringify({
    version: VERSION,
    pid: process.pid,
    startToken: ownStartToken(),
    executable: clip(program?.executable ?? process.execPath, 512),
    argv: clipList(program?.argv ?? commandLineOfNode(), 1280),
    cwd: clip(cwd, 512),
    user: clip(userName(), 64),
    hostname: clip(hostname(), 64),
  });
  return `${json.slice(0, -1)},`;
}

/** The part of a record that follows `acquiredAt`. */
export function recordTail(metadata: JsonValue | undefined): string {
  return metadata === undefined ? '' : `,"metadata":${JSON.stringify(metadata)}`;
}

/** The record in the file at `path`, if there is one that can be read. */
export function readRecord(path: string): OwnerRecord | undefined {
  let fd: number;
  try {
    // Windows knows neither of the last two, and has no links here to follow or pipes to block on.
    const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) return undefined;
    // From offset 1: byte 0 is the one that Windows locks.
    const buffer = Buffer.alloc(RECORD_BYTES - 1);
    const size = readSync(fd, buffer, 0, buffer.length, 1);
    const everybodys = (status.mode & 0o022) !== 0;
    return parseRecord(buffer.toString('utf8', 0, size), everybodys ? undefined : status.uid);
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** Takes a record apart that may be torn, forged or something else altogether. */
export function parseRecord(text: string, writer?: number): OwnerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const record = value as Record<string, unknown>;
  const { pid } = record;
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0) return undefined;
  const text_ = (key: string) => (typeof record[key] === 'string' ? record[key] : undefined);
  const argv = record.argv;
  return {
    pid: pid as number,
    startToken: text_('startToken'),
    acquiredAt: toDate(record.acquiredAt),
    executable: text_('executable'),
    argv: isTextList(argv) ? argv : undefined,
    cwd: text_('cwd'),
    user: text_('user'),
    hostname: text_('hostname'),
    metadata: record.metadata as JsonValue | undefined,
    writer,
  };
}

// As it was typed, or nearly: Node has made the script's path absolute.
function commandLineOfNode(): string[] {
  return [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
}

function toDate(value: unknown): Date | undefined {
  if (typeof value !== 'string') return undefined;
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? ''); // a user without an entry, as in many containers
  }
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

function clip(text: string, bytes: number): string {
  if (jsonBytes(text) <= bytes) return text;
  let end = text.length;
  while (end > 0 && jsonBytes(`${text.slice(0, end)}…`) > bytes) end = Math.floor(end * 0.9);
  return `${text.slice(0, end)}…`;
}

function clipList(list: readonly string[], bytes: number): string[] {
  const clipped: string[] = [];
  let left = bytes;
  for (const item of list) {
    const short = clip(item, 512);
    left -= jsonBytes(short) + 1;
    if (left < 8) return [...clipped, '…'];
    clipped.push(short);
  }
  return clipped;
}
