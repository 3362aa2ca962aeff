// What is made of the answers of macOS and Windows. Their answers about a lock (its state, who has
// the file open, whether this process holds it) are put in, because neither Linux nor Wine gives
// them; the processes are real, and so are the record, the pinning and the signals.
import { chownSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { inspect } from '../src/inspect.js';
import { startToken } from '../src/linux.js';
import { GONE, type Native } from '../src/native.js';
import { lockFile } from '../src/path.js';
import { killRunning } from '../src/terminate.js';
import { NOBODY, requireRoot } from './support/requires.js';
import { start } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const kernel = vi.hoisted(() => ({ answers: {} as Partial<Native> }));
vi.mock('../src/system.js', () => import('../src/facts.js'));
vi.mock('../src/native.js', async (original) => {
  const real = await original<typeof import('../src/native.js')>();
  return { ...real, native: () => ({ ...real.native(), ...kernel.answers }) };
});

const none = () => [];
const self = process.pid;

beforeEach(() => {
  kernel.answers = {};
});

/** The kernel's answers, and the lock that they are about. */
function answering(answers: Partial<Native>): { directory: string } {
  const processFacts = (pid: number) => {
    const token = startToken(pid);
    return token === undefined ? {} : { startToken: token, startedAt: Date.now() };
  };
  kernel.answers = { processFacts, ...answers };
  return { directory: freshDirectory() };
}

function record(pid: number, options: { directory: string }): void {
  const claim = { pid, startToken: startToken(pid), acquiredAt: new Date(), user: 'somebody' };
  writeFileSync(lockFile('bot', options), ` ${JSON.stringify(claim)}`.padEnd(4096));
}

/** A process that has nothing to do with the lock but what the answers say. */
function bystander(): { pid: number; lives: () => boolean } {
  const { child, pid } = start('sleep', ['60']);
  return { pid, lives: () => child.exitCode === null && child.signalCode === null };
}

const pidsOf = (options: { directory: string }) =>
  inspect('bot', options).holders.map(({ pid }) => pid);

describe('Windows, which tells who has the file open', () => {
  test('this process holds, and another waits: that one is no holder, and is not hit', async () => {
    const waiter = bystander();
    const options = answering({
      lockState: () => 'exclusive',
      openers: () => [waiter.pid],
      holds: () => true,
    });
    expect(pidsOf(options)).toEqual([self]);
    await expect(killRunning('bot', options)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
    expect(waiter.lives()).toBe(true);
  });

  test('this process reads along with the one that wrote the record: both are named', async () => {
    const other = bystander();
    const options = answering({
      lockState: () => 'shared',
      openers: () => [other.pid],
      holds: () => true,
    });
    expect(pidsOf(options)).toEqual([self]);
    expect(inspect('bot', options).unknown[0]).toMatch(/^Who else holds it is not known/);
    record(other.pid, options);
    expect(pidsOf(options)).toEqual([self, other.pid]);
    await expect(killRunning('bot', options)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
    expect(other.lives()).toBe(true);
  });

  test('this process holds, though the system tells no openers', () => {
    const options = answering({ lockState: () => undefined, holds: () => true });
    expect(pidsOf(options)).toEqual([self]);
  });

  test('only one other has it open: the holder', () => {
    const { pid } = bystander();
    const answers = { openers: () => [pid], holds: () => false };
    const options = answering({ ...answers, lockState: () => 'exclusive' });
    const { holders, unknown } = inspect('bot', options);
    expect([holders[0]?.pid, holders[0]?.source]).toEqual([pid, 'kernel']);
    expect(unknown.filter((reason) => reason.startsWith('Who'))).toEqual([]);
  });

  test('no openers are told, and a record names one that lives: that alone gets it no signal', async () => {
    const named = bystander();
    const options = answering({ lockState: () => 'exclusive', openers: () => undefined });
    kernel.answers.holds = () => false;
    record(named.pid, options);
    const [holder] = inspect('bot', options).holders;
    expect([holder?.pid, holder?.source]).toEqual([named.pid, 'record']);
    const killing = killRunning('bot', { ...options, force: true });
    await expect(killing).rejects.toMatchObject({ code: 'LOCK_PERMISSION' });
    expect(named.lives()).toBe(true);
  });

  test('nobody has it open, and it can not be asked about: it is free', () => {
    const options = answering({ lockState: () => undefined, openers: none, holds: () => false });
    expect(inspect('bot', options)).toMatchObject({ held: false, unknown: [] });
  });

  test('several have it open, and the record names none of them: nobody is named or hit', async () => {
    const both = [bystander(), bystander()];
    const options = answering({
      lockState: () => 'exclusive',
      openers: () => both.map(({ pid }) => pid),
      holds: () => false,
    });
    record(self, options);
    expect(pidsOf(options)).toEqual([]);
    await expect(killRunning('bot', options)).rejects.toMatchObject({ code: 'LOCK_PERMISSION' });
    expect(both.every(({ lives }) => lives())).toBe(true);
  });

  test('of two readers one is known: it is ended, and that the lock is free is not said', async () => {
    const both = [bystander(), bystander()] as const;
    const [known, unknown] = both;
    // The time is up when the known one has ended, however long that takes.
    const clock = vi.spyOn(performance, 'now');
    onTestFinished(() => clock.mockRestore());
    const options = answering({
      lockState: () => {
        if (!known.lives()) clock.mockReturnValue(Number.POSITIVE_INFINITY);
        return 'shared';
      },
      openers: () => both.filter(({ lives }) => lives()).map(({ pid }) => pid),
      holds: () => false,
    });
    record(known.pid, options);
    const ending = killRunning('bot', { ...options, timeout: 20_000 });
    await expect(ending).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' });
    expect([known.lives(), unknown.lives()]).toEqual([false, true]);
  });

  test('a holder that ends between the look and the signal is gone', async () => {
    let held = true;
    const { pid } = bystander();
    const options = answering({
      lockState: () => (held ? 'exclusive' : 'free'),
      openers: () => [pid],
      holds: () => false,
      signalProcess: () => {
        held = false;
        return GONE;
      },
    });
    expect(await killRunning('bot', options)).toBe(true);
  });
});

describe('macOS, which tells who holds it, of the processes that may be looked into', () => {
  test("another user's: named by the record alone, and not to be ended from here", async () => {
    const other = bystander();
    const options = answering({ lockState: () => 'exclusive', openers: none });
    expect(pidsOf(options)).toEqual([]);
    record(other.pid, options);
    const [holder] = inspect('bot', options).holders;
    expect([holder?.pid, holder?.source]).toEqual([other.pid, 'record']);
    await expect(killRunning('bot', options)).rejects.toMatchObject({ code: 'LOCK_PERMISSION' });
    expect(other.lives()).toBe(true);
  });

  test('this process holds', async () => {
    const options = answering({ lockState: () => 'exclusive', openers: () => [self] });
    expect(pidsOf(options)).toEqual([self]);
    await expect(killRunning('bot', options)).rejects.toMatchObject({ code: 'LOCK_DEADLOCK' });
  });

  test('a file that this user can not read, and nobody named: it is not called free', () => {
    const options = answering({ lockState: () => undefined, openers: none });
    const { held, waiters, unknown } = inspect('bot', options);
    expect({ held, waiters }).toEqual({ held: false, waiters: undefined });
    expect(unknown).toEqual([expect.stringMatching(/^Whether it is running is not known/)]);
  });

  test("a record in a file of another user's than the holder's is not believed", (context) => {
    requireRoot(context);
    const { pid } = bystander();
    const options = answering({ lockState: () => 'exclusive', openers: () => [pid] });
    const told = kernel.answers.processFacts;
    kernel.answers.processFacts = (one) => ({ ...told?.(one), uid: 0 });
    record(pid, options);
    expect(inspect('bot', options).holders).toMatchObject([{ pid, user: 'somebody' }]);
    chownSync(lockFile('bot', options), NOBODY, NOBODY);
    expect(inspect('bot', options).holders).toMatchObject([{ pid, user: undefined }]);
  });

  test('a holder that ends between the two questions is none', () => {
    const states = ['exclusive', 'free'] as const;
    let asked = 0;
    const options = answering({ lockState: () => states[asked++], openers: none });
    expect(inspect('bot', options)).toMatchObject({ held: false, holders: [] });
  });
});
