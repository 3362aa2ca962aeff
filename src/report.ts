// What people are told about a holder.

import type { Holder, LocationOptions } from './types.js';

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
  return JSON.stringify(value, null, indent).replace(UNPRINTABLE, escaped);
}

/** A command line as a person would type it in a POSIX shell, safe to print. */
export function commandLine(argv: readonly string[]): string {
  return argv
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))
    .map(printable)
    .join(' ');
}

/** What is known of a holder, a line each; what is not known has none. */
export function holderDetails(holder: Holder): string[] {
  const { argv, cpuPercent, memoryBytes, status, metadata } = holder;
  const lines: [string, string | undefined][] = [
    ['pid=', String(holder.pid)],
    ['started=', holder.processStartedAt?.toISOString()],
    ['executable=', holder.executable],
    ['argv=', argv && commandLine(argv)],
    ['cwd=', holder.cwd],
    ['user=', holder.user],
    ['metadata=', metadata === undefined ? undefined : JSON.stringify(metadata)],
    ['Process status: ', status],
    ['CPU: ', cpuPercent === undefined ? undefined : `${cpuPercent.toFixed(1)}%`],
    ['Memory: ', memoryBytes === undefined ? undefined : megabytes(memoryBytes)],
  ];
  return lines
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `  ${key}${printable(value as string)}`);
}

/** What a second instance says before it gives up. */
export function conflictReport(
  name: string,
  holders: readonly (Holder | undefined)[],
  location: LocationOptions,
  handedOver = false,
): string {
  const lines = ['❌ Another instance is already running'];
  for (const holder of holders) {
    if (holder === undefined) continue;
    lines.push(`📍 Running instance PID: ${holder.pid}`);
    lines.push('Instance details:', ...holderDetails(holder));
  }
  if (handedOver) lines.push('📨 It has been given the arguments of this one');
  lines.push(`💡 To stop it: ${commandLine(['kernel-lock', name, ...flags(location), '--kill'])}`);
  return lines.join('\n');
}

/** The warning where a lock's directory is one that other processes do not see. */
export function privateDirectoryWarning(directory: string, reason: string): string {
  return (
    `⚠️  ${printable(directory)} may be private to this process: ${reason}. A program outside it ` +
    'can hold a lock of the same name. To share the lock, give both the same directory (such as ' +
    "the unit's StateDirectory= or a shared volume), or use scope 'user' where the home is shared"
  );
}

function flags({ scope, directory }: LocationOptions): string[] {
  if (directory !== undefined) return ['--directory', directory];
  return scope === undefined || scope === 'machine' ? [] : ['--scope', scope];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
