// How commands print.

import { lockDirectory } from '../path.js';
import { heldMilliseconds, printableJson, privateDirectoryWarning } from '../report.js';
import { privateDirectory } from '../system.js';
import type { Holder, PostgresHolder } from '../types.js';
import type { Call } from './args.js';

export function printLine(text: string): void {
  write(process.stdout, text);
}

export function printJson(value: unknown): void {
  printLine(printableJson(value, 2));
}

export function printError(text: string): void {
  write(process.stderr, text);
}

// A reader that is gone (`kernel-lock check NAME | true`) must not become the exit status.
function write(stream: NodeJS.WriteStream, text: string): void {
  if (stream.listenerCount('error') === 0) stream.on('error', () => {});
  stream.write(`${text}\n`);
}

/** Says so where the lock may be one that nobody else sees. */
export function warnIfPrivate(call: Call): void {
  if (call.postgres !== undefined) return;
  const directory = lockDirectory(call.location);
  const reason = privateDirectory(directory);
  if (reason !== undefined && !call.json) printError(privateDirectoryWarning(directory, reason));
}

/** How long the holder has had the lock; `undefined` where that is not known. */
export function heldFor(holder: Holder | PostgresHolder): string | undefined {
  const held = heldMilliseconds(holder);
  return held === undefined ? undefined : duration(held);
}

/** Seconds, minutes or hours, in two units at the most. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}
