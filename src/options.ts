import { DIRECTORY_WANTED, isDirectoryOption } from './directory.js';
import { LockTypeError } from './errors.js';
import { checkName, hasUrl } from './name.js';

/** The longest that a timer takes, in milliseconds: 24.8 days. */
const MAX_MILLISECONDS = 2_147_483_647;
/** What the record has room for beside everything else in it. */
export const MAX_METADATA_BYTES = 1024;

/** Sent more often, heartbeats would be work for the server; in milliseconds. */
const MIN_HEARTBEAT = 100;
/** An hour: a server takes four times as much for its own settings, in milliseconds. */
const MAX_HEARTBEAT = 3_600_000;

interface Rule {
  accepts: (value: unknown) => boolean;
  wants: string;
  /** A value that may hold a password. */
  secret?: boolean;
}

const isBoolean = (value: unknown) => typeof value === 'boolean';
const isMilliseconds = (value: unknown) =>
  typeof value === 'number' && value >= 0 && value <= MAX_MILLISECONDS;
const isFunction = (value: unknown) => typeof value === 'function';
const MILLISECONDS = `a number of milliseconds from 0 to ${MAX_MILLISECONDS}`;

const RULES = {
  shared: { accepts: isBoolean, wants: 'true or false' },
  wait: {
    accepts: (value) => isBoolean(value) || isMilliseconds(value),
    wants: `true, false or ${MILLISECONDS}`,
  },
  signal: { accepts: (value) => value instanceof AbortSignal, wants: 'an AbortSignal' },
  scope: {
    accepts: (value) => value === 'machine' || value === 'user',
    wants: "'machine' or 'user'",
  },
  directory: { accepts: isDirectoryOption, wants: DIRECTORY_WANTED },
  metadata: {
    accepts: isMetadata,
    wants: `JSON of at most ${MAX_METADATA_BYTES} bytes`,
  },
  force: { accepts: isBoolean, wants: 'true or false' },
  timeout: { accepts: isMilliseconds, wants: MILLISECONDS },
  onConflict: {
    accepts: (value) => value === 'exit' || value === 'throw',
    wants: "'exit' or 'throw'",
  },
  onShutdown: { accepts: isFunction, wants: 'a function' },
  shutdownTimeout: { accepts: isMilliseconds, wants: MILLISECONDS },
  onSecondInstance: { accepts: isFunction, wants: 'a function' },
  logger: { accepts: isLogger, wants: 'an object with info, warn and error' },
  connectionString: {
    accepts: isConnectionString,
    wants:
      'a URL such as postgres://user@host:5432/database, in which a password has %2F for /, and so on',
    secret: true,
  },
  client: { accepts: isFunction, wants: 'a function that makes a pg.Client' },
  heartbeat: {
    accepts: (value) =>
      typeof value === 'number' && value >= MIN_HEARTBEAT && value <= MAX_HEARTBEAT,
    wants: `a number of milliseconds from ${MIN_HEARTBEAT} to ${MAX_HEARTBEAT}`,
  },
} satisfies Record<string, Rule>;

export type OptionName = keyof typeof RULES;

export const LOCATION_OPTIONS: readonly OptionName[] = ['scope', 'directory'];
export const TRY_LOCK_OPTIONS: readonly OptionName[] = [...LOCATION_OPTIONS, 'shared', 'metadata'];
export const LOCK_SYNC_OPTIONS: readonly OptionName[] = [...TRY_LOCK_OPTIONS, 'wait'];
export const LOCK_OPTIONS: readonly OptionName[] = [...LOCK_SYNC_OPTIONS, 'signal'];

/** Which PostgreSQL server, beside what the environment says of it. */
export const SERVER_OPTIONS: readonly OptionName[] = ['connectionString', 'client', 'heartbeat'];

/**
 * The known options of a call, checked and copied once, so that what was checked is what is used.
 * Throws `LOCK_INVALID_NAME` or `LOCK_INVALID_OPTION`; `undefined` counts as left out.
 */
export function checkInput<T extends object>(
  name: unknown,
  options: T,
  known: readonly OptionName[],
): T {
  checkName(name);
  return checkOptions(options, known, name);
}

/** The part of `checkInput` that looks at the options. */
export function checkOptions<T extends object>(
  options: T,
  known: readonly OptionName[],
  name?: string,
): T {
  if (options === null || typeof options !== 'object') {
    throw invalid(name, `Invalid options ${show(options)}: an object is wanted`);
  }
  const given = options as Record<string, unknown>;
  for (const option in given) {
    if (!(known as readonly string[]).includes(option)) {
      throw invalid(
        name,
        `Unknown option '${option}' (${show(given[option])}); ${hint(option, known)}`,
      );
    }
  }
  const checked: Record<string, unknown> = {};
  for (const option of known) {
    const value = given[option];
    if (value === undefined) continue;
    const rule: Rule = RULES[option];
    if (!rule.accepts(value)) {
      const shown = rule.secret && typeof value === 'string' ? 'a string' : show(value);
      throw invalid(name, `Invalid option '${option}' (${shown}): ${rule.wants} is wanted`);
    }
    checked[option] = value;
  }
  if (checked.scope !== undefined && checked.directory !== undefined) {
    throw invalid(
      name,
      `Invalid option 'scope' (${show(checked.scope)}): 'directory' is given too, and a lock has one place`,
    );
  }
  if (checked.connectionString !== undefined && checked.client !== undefined) {
    throw invalid(
      name,
      "Invalid option 'client' (a function): 'connectionString' is given too, and a session has one server",
    );
  }
  if (checked.onSecondInstance !== undefined && checked.shared === true) {
    throw invalid(
      name,
      "Invalid option 'onSecondInstance' (a function): 'shared' is given too, and no reader is the first instance",
    );
  }
  return checked as T;
}

function hint(option: string, known: readonly OptionName[]): string {
  if (option === 'signal' && known === LOCK_SYNC_OPTIONS) {
    return 'a blocked thread can abort nothing, so lockSync takes a number of milliseconds as wait';
  }
  return `known here: ${known.join(', ')}`;
}

function invalid(name: string | undefined, message: string): LockTypeError {
  return new LockTypeError('LOCK_INVALID_OPTION', message, name);
}

function show(value: unknown): string {
  if (typeof value === 'string' && hasUrl(value)) return 'a URL';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100));
  if (typeof value === 'object' && value !== null) return Object.prototype.toString.call(value);
  return typeof value === 'function' ? 'a function' : String(value);
}

function isMetadata(value: unknown): boolean {
  try {
    const json = JSON.stringify(value);
    return json !== undefined && Buffer.byteLength(json) <= MAX_METADATA_BYTES;
  } catch {
    return false; // a cycle, a BigInt, a throwing toJSON
  }
}

// Without a host, the part before the @ has to be followed by something for URL.
// An @ behind the host means that the password has a character which ends it; what is shown of the URL
// would show the rest of it.
function isConnectionString(value: unknown): boolean {
  if (typeof value !== 'string' || !/^postgres(?:ql)?:\/\//.test(value)) return false;
  const text = value.replace('@/', '@host/');
  if (!URL.canParse(text)) return false;
  const { pathname, search, hash } = new URL(text);
  return ![pathname, search, hash].some((part) => part.includes('@'));
}

function isLogger(value: unknown): boolean {
  const logger = value as Record<string, unknown> | null;
  return (
    typeof logger === 'object' &&
    logger !== null &&
    ['info', 'warn', 'error'].every((method) => isFunction(logger[method]))
  );
}
