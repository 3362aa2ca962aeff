// The parsers of /proc, on what it says and on what it might be made to say.
import { describe, expect, test } from 'vitest';
import {
  deviceNumber,
  mountOf,
  parseBootTime,
  parseCommandLine,
  parseLocks,
  parseMounts,
  parseStat,
  parseStatus,
  parseUserName,
} from '../src/proc.js';
import { commandLine, holderDetails, printable } from '../src/report.js';

describe('/proc/locks', () => {
  test('holders, waiters, and nothing that is not flock', () => {
    const text = `1: POSIX  ADVISORY  WRITE 5433 08:01:7864448 128 128
2: FLOCK  ADVISORY  WRITE 2001 fe:00:1048587 0 EOF
2: -> FLOCK  ADVISORY  READ  2002 fe:00:1048587 0 EOF
2:  -> FLOCK  ADVISORY  WRITE 2003 fe:00:1048587 0 EOF
3: OFDLCK ADVISORY  READ  -1 08:01:8713209 128 128
4: FLOCK  ADVISORY  READ 0 00:2f:77 0 EOF
5: LEASE  ACTIVE    READ 9 08:01:1 0 EOF
`;
    expect(parseLocks(text)).toEqual([
      { waiting: false, shared: false, pid: 2001, file: 'fe:00:1048587' },
      { waiting: true, shared: true, pid: 2002, file: 'fe:00:1048587' },
      { waiting: true, shared: false, pid: 2003, file: 'fe:00:1048587' },
      { waiting: false, shared: true, pid: 0, file: '00:2f:77' },
    ]);
  });

  test('the lock lines of a descriptor', () => {
    const text = 'pos:\t0\nflags:\t0100002\nlock:\t1: FLOCK  ADVISORY  WRITE 359 00:2f:10 0 EOF\n';
    expect(parseLocks(text)).toEqual([
      { waiting: false, shared: false, pid: 359, file: '00:2f:10' },
    ]);
  });

  test.each(['', '\n', '1:', '1: FLOCK', 'x'.repeat(100_000), '1: FLOCK ADVISORY WRITE x y z'])(
    'nonsense is no lock',
    (text) => expect(parseLocks(text)).toEqual([]),
  );
});

test('device numbers are written as the kernel writes them', () => {
  expect(deviceNumber(0x801n)).toBe('08:01');
  expect(deviceNumber(0xfe00n)).toBe('fe:00');
  expect(deviceNumber(0x2fn)).toBe('00:2f');
  expect(deviceNumber(0x12345678n)).toBe('456:12378');
});

describe('/proc/PID/stat', () => {
  const tail = 'S 1 2 3 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 11 0 4242 1 1';
  test.each(['node', 'a) R 1 (b', '((', ') ', 'a b c', ''])('of a process called %j', (name) => {
    expect(parseStat(`77 (${name}) ${tail}`)).toEqual({
      state: 'S',
      processGroup: 2,
      cpuTicks: 200,
      startTicks: 4242,
    });
  });

  test.each(['', '77', '77 (x)', '77 (x) S 1 2', `77 (x) ${tail.replace('4242', '-1')}`])(
    'nonsense is undefined',
    (text) => expect(parseStat(text)).toBeUndefined(),
  );
});

test('/proc/PID/status', () => {
  const text =
    'Name:\tx\nState:\tS (sleeping)\nUid:\t7\t1000\t7\t7\nNSpid:\t4242\t17\t1\nVmRSS:\t    2048 kB\nUid:\t9\t9\t9\t9\n';
  expect(parseStatus(text)).toEqual({
    state: 'S',
    uid: 1000,
    soleUid: undefined,
    innerPids: [17, 1],
    memoryBytes: 2_097_152,
  });
  expect(parseStatus('')).toEqual({
    state: undefined,
    uid: undefined,
    soleUid: undefined,
    innerPids: [],
    memoryBytes: undefined,
  });
});

test.each([
  ['7\t7\t7', 7],
  ['0\t0\t0', 0],
  ['8\t7\t7', undefined],
  ['7\t7\t8', undefined],
])('the sole user of %j', (uids, uid) => {
  expect(parseStatus(`Uid:\t${uids}\t7\n`).soleUid).toBe(uid);
});

test('/proc/stat', () => {
  expect(parseBootTime('cpu  1 2 3\nctxt 1\nbtime 1795408752\nprocesses 1\n')).toBe(1795408752);
  expect(parseBootTime('btime -1\nbtime 1x\n')).toBeUndefined();
});

test('/proc/PID/cmdline', () => {
  expect(parseCommandLine('node\0bot.js\0--mode\0')).toEqual(['node', 'bot.js', '--mode']);
  expect(parseCommandLine('node\0\0')).toEqual(['node', '']);
  expect(parseCommandLine('node')).toEqual(['node']);
  expect(parseCommandLine('')).toBeUndefined();
  // A pattern that backtracks takes minutes for this.
  expect(parseCommandLine(`${'\0'.repeat(1_000_000)}x`)).toHaveLength(1_000_001);
});

test('passwd', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nbot:x:1000:1000::/home/bot:/bin/sh\n';
  expect(parseUserName(passwd, 1000)).toBe('bot');
  expect(parseUserName(passwd, 100)).toBeUndefined();
});

test('/proc/PID/mountinfo', () => {
  const mounts = parseMounts(`22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /tmp rw - tmpfs tmpfs rw
31 22 254:0 /tmp/systemd-private-1-bot.service-x/tmp /tmp rw shared:2 master:3 - ext4 /dev/vda rw
32 22 0:41 / /mnt/a\\040b rw - nfs4 host:/x rw
nonsense
`);
  expect(mountOf(mounts, '/tmp')).toMatchObject({
    id: '31',
    root: expect.stringContaining('systemd-private'),
  });
  expect(mountOf(mounts, '/tmpx')).toMatchObject({ id: '22', type: 'ext4' });
  expect(mountOf(mounts, '/mnt/a b/c')).toMatchObject({ type: 'nfs4' });
  expect(mountOf([], '/')).toBeUndefined();
});

describe('a report', () => {
  test('never carries control characters to the terminal', () => {
    const evil = '\u001b[2J\u009b31m\r\n\0\u202e\u200b\ud800';
    const lines = holderDetails({
      pid: 1,
      acquiredAt: undefined,
      processStartedAt: undefined,
      executable: evil,
      argv: ['node', evil],
      cwd: evil,
      user: evil,
      hostname: evil,
      status: evil,
      cpuPercent: undefined,
      memoryBytes: undefined,
      metadata: { [evil]: evil },
      source: 'kernel',
    });
    for (const line of lines) expect(line).toMatch(/^[^\p{Cc}\p{Cf}\p{Cs}]*$/u);
    expect(printable('\u001b')).toBe('\\u{1b}');
  });

  test('shows a command line that can be pasted', () => {
    expect(commandLine(['node', 'a b', "it's", '', '$HOME'])).toBe(
      `node 'a b' 'it'\\''s' '' '$HOME'`,
    );
  });
});
