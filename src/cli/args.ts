// What was typed, as a command with checked options.

import { type ParseArgsConfig, parseArgs } from 'node:util';
import { hasUrl } from '../name.js';
import { printable } from '../report.js';
import type { LocationOptions, LockScope } from '../types.js';
import type { CommandName } from './main.js';

/** Told in one line; exit status 64. */
export class UsageError extends Error {
  constructor(message: string) {
    super(printable(message));
  }
}

/** A command as it was called; options that were not given are `undefined`. */
export interface Call {
  command: CommandName;
  name: string;
  location: LocationOptions;
  /** A server instead: its URL, or nothing, for what the environment says. */
  postgres: string | undefined;
  json: boolean;
  force: boolean;
  shared: boolean;
  watch: boolean;
  /** Milliseconds, or `true`: without end. */
  wait: boolean | number;
  /** Milliseconds. */
  timeout: number | undefined;
  conflictExitCode: number | undefined;
  /** What follows `--`. */
  program: string[];
}

type Options = NonNullable<ParseArgsConfig['options']>;

const COMMON: Options = {
  json: { type: 'boolean' },
  scope: { type: 'string' },
  directory: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
};
const SERVER: Options = { postgres: { type: 'string' } };
const KILL: Options = {
  ...SERVER,
  force: { type: 'boolean' },
  timeout: { type: 'string' },
};

const OPTIONS: Record<string, Options> = {
  check: SERVER,
  kill: KILL,
  run: {
    ...SERVER,
    nonblock: { type: 'boolean', short: 'n' },
    wait: { type: 'string', short: 'w' },
    shared: { type: 'boolean', short: 's' },
    exclusive: { type: 'boolean', short: 'x' },
    'conflict-exit-code': { type: 'string', short: 'E' },
  },
  wait: { ...SERVER, timeout: { type: 'string' } },
  list: { ...SERVER, watch: { type: 'boolean' } },
  path: {},
  migration: {},
  // NAME --check | --kill [--force]
  '': { ...KILL, check: { type: 'boolean' }, kill: { type: 'boolean' } },
};

export function parseCommand(argv: readonly string[]): Call {
  const end = argv.indexOf('--');
  const own = end < 0 ? [...argv] : argv.slice(0, end);
  const program = end < 0 ? [] : argv.slice(end + 1);
  const [first] = own;
  if (first === undefined) throw new UsageError('a command is wanted, such as check NAME');
  if (first === '--help' || first === '-h' || first === 'help') {
    return helpFor(own[1] ?? '');
  }
  const known = first !== '' && Object.hasOwn(OPTIONS, first) ? first : '';
  const { values, positionals } = parse(known, known === '' ? own : own.slice(1));
  if (values.help === true) return helpFor(known);

  const command = known === '' ? shortForm(first, values) : (known as CommandName);
  const names = positionals.length;
  const nameless = command === 'list' || command === 'migration';
  if (nameless ? names > 0 : names !== 1) {
    throw new UsageError(
      nameless ? `'${command}' takes no name` : `'${command}' takes one name, got ${names}`,
    );
  }
  if (command === 'run' && program.length === 0) {
    throw new UsageError("'run' wants a program after --: kernel-lock run NAME -- COMMAND …");
  }
  if (command !== 'run' && program.length > 0) {
    throw new UsageError(`'${command}' runs nothing, but a program follows --`);
  }
  return {
    command,
    name: positionals[0] ?? '',
    location: location(values),
    postgres: postgresOf(values),
    json: values.json === true,
    force: values.force === true,
    shared: sharedOf(values),
    watch: values.watch === true,
    wait: waitOf(values),
    timeout: milliseconds('--timeout', values.timeout),
    conflictExitCode: exitCode(values['conflict-exit-code']),
    program,
  };
}

type Values = Record<string, string | boolean | (string | boolean)[] | undefined>;

function parse(command: string, args: string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({
      args: completeServer(command === 'run' ? completeWait(args) : args),
      options: { ...COMMON, ...OPTIONS[command] },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    // Node's own message, without its advice on how to escape.
    const [told = ''] = (error as Error).message.split(/[.\n]/);
    throw new UsageError(hasUrl(told) ? 'a URL stands in a wrong place' : told);
  }
}

function quoted(value: Values[string]): string {
  return typeof value === 'string' && hasUrl(value) ? 'a URL' : `'${value}'`;
}

const WITHOUT_END = 'without end';

// flock(1) users type -w 5; here the seconds may be left out, which parseArgs can't say.
function completeWait(args: readonly string[]): string[] {
  const complete: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (arg !== '-w' && arg !== '--wait') {
      complete.push(arg);
    } else if (/^[\d.]+$/.test(args[i + 1] ?? '')) {
      complete.push(`--wait=${args[++i]}`);
    } else {
      complete.push(`--wait=${WITHOUT_END}`);
    }
  }
  return complete;
}

const OF_ENVIRONMENT = 'of the environment';

// The URL may be left out too; a lock's name is none. An empty one is a variable that is not set.
function completeServer(args: readonly string[]): string[] {
  const isAlone = (i: number) => args[i + 1] !== '' && !hasUrl(args[i + 1] ?? '');
  return args.map((arg, i) =>
    arg === '--postgres' && isAlone(i) ? `--postgres=${OF_ENVIRONMENT}` : arg,
  );
}

function shortForm(name: string, values: Values): CommandName {
  if (values.check === true && values.kill === true) {
    throw new UsageError('--check and --kill exclude each other');
  }
  if (values.kill === true) return 'kill';
  if (values.check === true) {
    if (values.force !== undefined || values.timeout !== undefined) {
      throw new UsageError('--force and --timeout go with --kill');
    }
    return 'check';
  }
  throw new UsageError(
    `unknown command ${quoted(name)}; a lock's name goes with --check or --kill`,
  );
}

function helpFor(command: string): Call {
  return {
    command: 'help',
    name: command,
    location: {},
    postgres: undefined,
    json: false,
    force: false,
    shared: false,
    watch: false,
    wait: false,
    timeout: undefined,
    conflictExitCode: undefined,
    program: [],
  };
}

function location(values: Values): LocationOptions {
  const { scope, directory } = values;
  if (scope !== undefined && scope !== 'machine' && scope !== 'user') {
    throw new UsageError(`--scope is machine or user, not ${quoted(scope)}`);
  }
  return { scope: scope as LockScope | undefined, directory: directory as string | undefined };
}

function postgresOf(values: Values): string | undefined {
  const { postgres } = values;
  if (postgres === undefined) return undefined;
  if (postgres === '') {
    throw new UsageError('--postgres got an empty URL; without any, it takes PGHOST and the like');
  }
  for (const option of ['scope', 'directory', 'force', 'watch']) {
    if (values[option] === undefined) continue;
    throw new UsageError(`--${option} is for locks of this machine, and --postgres is given too`);
  }
  return postgres === OF_ENVIRONMENT ? '' : (postgres as string);
}

function sharedOf(values: Values): boolean {
  if (values.shared === true && values.exclusive === true) {
    throw new UsageError('--shared and --exclusive exclude each other');
  }
  return values.shared === true;
}

function waitOf(values: Values): boolean | number {
  const { wait } = values;
  if (wait === undefined) return false;
  if (values.nonblock === true) {
    throw new UsageError('--nonblock and --wait exclude each other');
  }
  return wait === WITHOUT_END ? true : (milliseconds('--wait', wait) ?? false);
}

function milliseconds(option: string, value: Values[string]): number | undefined {
  if (value === undefined) return undefined;
  const seconds = typeof value === 'string' && /^\d*\.?\d+$/.test(value) ? Number(value) : -1;
  if (seconds < 0 || seconds > 2_147_483) {
    throw new UsageError(`${option} takes seconds from 0 to 2147483, not ${quoted(value)}`);
  }
  return Math.round(seconds * 1000);
}

function exitCode(value: Values[string]): number | undefined {
  if (value === undefined) return undefined;
  const code = typeof value === 'string' && /^\d{1,3}$/.test(value) ? Number(value) : -1;
  if (code < 0 || code > 255) {
    throw new UsageError(`--conflict-exit-code takes a number from 0 to 255, not ${quoted(value)}`);
  }
  return code;
}
