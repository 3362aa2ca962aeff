// What others have written – records, /proc, command lines – thrown at the parsers: nothing
// crashes, and nothing reaches a terminal raw. A failure prints its seed.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Call, parseCommand, UsageError } from '../src/cli/args.js';
import { cut, displayWidth, table } from '../src/cli/table.js';
import { LockHeldError } from '../src/errors.js';
import { parseRecord } from '../src/owner.js';
import {
  mountOf,
  parseBootTime,
  parseCommandLine,
  parseLocks,
  parseMounts,
  parseStat,
  parseStatus,
  parseUserName,
} from '../src/proc.js';
import {
  commandLine,
  commandOf,
  conflictReport,
  holderDetails,
  printable,
  printableJson,
} from '../src/report.js';
import type { Holder, JsonValue, LockStatus } from '../src/types.js';

const RUNS = { numRuns: 400 };
/** What a terminal could obey, or what hides and reorders text. */
const RAW = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

const NASTY = [
  '\u001b[2J',
  '\u001b]0;x\u0007',
  '\u009b31m',
  '\r',
  '\n',
  '\0',
  '\u202e',
  '\ud800',
  '\udc00',
  '\ufffd',
  ')',
  ' ',
  ') R 1 (',
  '"',
  '\\',
  "'",
  '\t',
  '-1',
  '99999999999999999999',
  '1e999',
  '日本',
  '🚀',
  '\u0301',
  '__proto__',
  'lock:\t1: FLOCK  ADVISORY  WRITE 1 00:01:1 0 EOF',
  'btime 1',
  'Uid:\t0\t0\t0\t0',
];

const hostile = fc
  .array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...NASTY)), { maxLength: 12 })
  .map((parts) => parts.join(''));

/** A text of the kernel's in which something was replaced, left out or put in. */
const mangled = (text: string) =>
  fc
    .tuple(fc.nat(text.length), fc.nat(20), hostile)
    .map(([at, count, put]) => text.slice(0, at) + put + text.slice(at + count));

const anyOf = (...texts: string[]) => fc.oneof(hostile, ...texts.map(mangled));

const isCount = (value: number | undefined) =>
  value === undefined || (Number.isSafeInteger(value) && value >= 0);

describe('texts of /proc', () => {
  test('locks', () => {
    const text =
      '1: FLOCK  ADVISORY  WRITE 5433 08:01:7864448 0 EOF\n1: -> FLOCK  ADVISORY  READ 7 08:01:7864448 0 EOF\n';
    fc.assert(
      fc.property(anyOf(text, `lock:\t${text}`), (input) => {
        for (const { pid, file } of parseLocks(input)) {
          expect(Number.isSafeInteger(pid)).toBe(true);
          expect(file).toMatch(/^[0-9a-f]+:[0-9a-f]+:\d+$/);
        }
      }),
      RUNS,
    );
  });

  test('stat: a name changes nothing of what follows it', () => {
    const tail = 'S 1 2 3 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 11 0 4242 1 1';
    fc.assert(
      fc.property(hostile, (name) => {
        expect(parseStat(`7 (${name}) ${tail}`)).toEqual({
          state: 'S',
          processGroup: 2,
          cpuTicks: 200,
          startTicks: 4242,
        });
      }),
      RUNS,
    );
    fc.assert(
      fc.property(anyOf(`7 (x) ${tail}`), (input) => {
        const stat = parseStat(input);
        expect(isCount(stat?.cpuTicks) && isCount(stat?.startTicks)).toBe(true);
      }),
      RUNS,
    );
  });

  test('status, stat of the system, mountinfo, passwd', () => {
    const status = 'Name:\tx\nUid:\t7\t7\t7\t7\nNSpid:\t4\t1\nVmRSS:\t 2048 kB\n';
    const mounts = '31 22 254:0 /a\\040b /tmp rw shared:2 - ext4 /dev/vda rw\n';
    const passwd = 'root:x:0:0:root:/root:/bin/sh\n';
    fc.assert(
      fc.property(
        anyOf(status, 'cpu 1\nbtime 1795408752\n', mounts, passwd),
        fc.nat(),
        hostile,
        (input, uid, path) => {
          const { uid: found, innerPids, memoryBytes } = parseStatus(input);
          expect([found, memoryBytes, parseBootTime(input), ...innerPids].every(isCount)).toBe(
            true,
          );
          for (const mount of parseMounts(input)) expect(mount.type).not.toBe('');
          mountOf(parseMounts(input), path);
          parseUserName(input, uid);
        },
      ),
      RUNS,
    );
  });

  test('a command line of broken UTF-8, of any length, is shown in part', () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(bytes, fc.constantFrom(1, 10, 4000), (some, times) => {
        const text = Buffer.concat(Array.from({ length: times }, () => some)).toString('utf8');
        const argv = parseCommandLine(text);
        const shown = argv === undefined ? '' : commandOf(argv);
        expect(shown).not.toMatch(RAW);
        expect(shown.length).toBeLessThan(40_000);
      }),
      { numRuns: 100 },
    );
  });
});

const record = {
  version: 1,
  pid: 7,
  startToken: 'b:1',
  executable: '/x',
  argv: ['x'],
  cwd: '/',
  user: 'u',
  hostname: 'h',
  acquiredAt: '2024-01-15T10:30:45.123Z',
  metadata: { a: 1 },
};

const holderOf = (value: Partial<Holder>): Holder => ({
  pid: 1,
  acquiredAt: undefined,
  processStartedAt: undefined,
  executable: undefined,
  argv: undefined,
  cwd: undefined,
  user: undefined,
  hostname: undefined,
  status: undefined,
  cpuPercent: undefined,
  memoryBytes: undefined,
  metadata: undefined,
  source: 'record',
  ...value,
});

/** Everything that is printed of a holder. */
function printed(holder: Holder): string[] {
  const unknown = [holder.cwd ?? ''];
  const status: LockStatus = {
    name: 'bot',
    path: holder.cwd ?? '',
    held: true,
    shared: false,
    holders: [holder],
    waiters: 1,
    unknown,
  };
  const error = new LockHeldError('held', { holder, unknown });
  return [
    ...holderDetails(holder),
    ...conflictReport('bot', error, { directory: holder.cwd ?? '/' }).split('\n'),
    ...table([status]),
    ...table([status], 80),
    printableJson([status]),
  ];
}

describe('a record', () => {
  test('of any text is a record or none, and prints as text', () => {
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 4 }),
      hostile,
      fc.double(),
      fc.bigInt().map(String),
    );
    const json = fc
      .dictionary(fc.constantFrom(...Object.keys(record), '__proto__', 'toString'), value)
      .map((changes) => JSON.stringify({ ...record, ...changes }));
    const bomb = fc.nat(4000).map((depth) => `{"pid":7,"metadata":${'['.repeat(depth)}`);
    const closed = fc
      .nat(2000)
      .map((depth) => `{"pid":7,"metadata":${'['.repeat(depth)}${']'.repeat(depth)}}`);
    fc.assert(
      fc.property(
        fc.oneof(hostile, json, mangled(JSON.stringify(record)), bomb, closed),
        (text) => {
          const found = parseRecord(text, 0);
          if (found === undefined) return;
          expect(Number.isSafeInteger(found.pid) && found.pid > 0).toBe(true);
          for (const key of ['startToken', 'executable', 'cwd', 'user', 'hostname'] as const) {
            expect(['string', 'undefined']).toContain(typeof found[key]);
          }
          for (const line of printed(holderOf({ ...found }))) expect(line).not.toMatch(RAW);
        },
      ),
      RUNS,
    );
  });
});

describe('what is printed', () => {
  test('is text, whatever a holder says of itself', () => {
    const holder = fc.record({
      executable: hostile,
      argv: fc.array(hostile),
      cwd: hostile,
      user: hostile,
      hostname: hostile,
      status: hostile,
      metadata: fc.jsonValue() as fc.Arbitrary<JsonValue>,
    });
    fc.assert(
      fc.property(holder, (value) => {
        for (const line of printed(holderOf(value))) expect(line).not.toMatch(RAW);
      }),
      RUNS,
    );
  });

  test('as JSON is read as what it was', () => {
    fc.assert(
      fc.property(fc.jsonValue(), hostile, (value, text) => {
        const shown = printableJson({ value, text });
        expect(shown).not.toMatch(RAW);
        expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify({ value, text })));
      }),
      RUNS,
    );
  });

  test('takes no more columns than there are', () => {
    fc.assert(
      fc.property(hostile, fc.nat(60), (text, width) => {
        expect(displayWidth(cut(printable(text), width))).toBeLessThanOrEqual(width);
        expect(commandLine([text])).not.toMatch(RAW);
      }),
      RUNS,
    );
  });
});

test('arguments are a command, or a usage error of one line', () => {
  const words = [
    'check',
    'kill',
    'run',
    'wait',
    'list',
    'path',
    'help',
    'bot',
    '--',
    '--check',
    '--kill',
    '--force',
    '--timeout',
    '--timeout=1',
    '-w',
    '--wait=x',
    '-E',
    '-E=1',
    '--json',
    '--scope',
    'user',
    '--directory',
    '--help',
    '-nsx',
    '--no-json',
    '--__proto__',
    '5',
    '-5',
    '1e9',
    '',
  ];
  const argv = fc.array(fc.oneof(fc.constantFrom(...words), fc.constantFrom(...words), hostile), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(argv, (args) => {
      let call: Call;
      try {
        call = parseCommand(args);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        expect((error as Error).message).not.toMatch(RAW);
        expect((error as Error).message).not.toBe('');
        return;
      }
      expect(typeof call.command).toBe('string');
      expect(typeof call.name).toBe('string');
      if (call.timeout !== undefined) expect(isCount(call.timeout)).toBe(true);
    }),
    { numRuns: 3000 },
  );
});
