// A held lock's file does not look unused, for the sake of macOS. Run on any system, with real files.
import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keepFresh, letAge } from '../src/fresh.js';
import { native } from '../src/native.js';
import { REPOSITORY, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const HOUR = 3_600_000;

function heldFile(): { id: number; path: string } {
  const path = join(freshDirectory(), 'bot.lock');
  const id = native().tryAcquire(path, false, '', false) as number;
  utimesSync(path, 0, 0);
  return { id, path };
}

const isFresh = (path: string) =>
  [statSync(path).atimeMs, statSync(path).mtimeMs].every((time) => time > 0);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('one timer refreshes the files of all locks, until the last one is released', () => {
  const [first, second] = [heldFile(), heldFile()];
  keepFresh(first.id);
  keepFresh(second.id);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(HOUR);
  expect([isFresh(first.path), isFresh(second.path)]).toEqual([true, true]);

  letAge(first.id);
  native().release(first.id);
  utimesSync(first.path, 0, 0);
  utimesSync(second.path, 0, 0);
  vi.advanceTimersByTime(HOUR);
  expect([isFresh(first.path), isFresh(second.path)]).toEqual([false, true]);

  letAge(second.id);
  native().release(second.id);
  expect(vi.getTimerCount()).toBe(0);
  keepFresh(first.id); // a lock that is gone meanwhile
  vi.advanceTimersByTime(HOUR);
  letAge(first.id);
});

test('a clock that jumps changes nothing', () => {
  const { id, path } = heldFile();
  keepFresh(id);
  vi.setSystemTime(0);
  vi.advanceTimersByTime(HOUR);
  expect(isFresh(path)).toBe(true);
  letAge(id);
  native().release(id);
});

// The published code with macOS's name, and an interval that is over soon.
const HOLDER = `
  import { statSync, utimesSync } from 'node:fs';
  Object.defineProperty(process, 'platform', { value: 'darwin' });
  const { setInterval } = globalThis;
  globalThis.setInterval = (refresh) => setInterval(refresh, 1);
  const { lockSync } = await import(process.argv[1]);
  const { path } = lockSync('bot', { directory: process.argv[2] });
  utimesSync(path, 0, 0);
  while (statSync(path).mtimeMs === 0) await new Promise((next) => setImmediate(next));
  console.log('refreshed');
`;

test('a holder on macOS refreshes its file, and ends when it has nothing else to do', async () => {
  vi.useRealTimers();
  const library = pathToFileURL(join(REPOSITORY, 'dist', 'index.js')).href;
  const args = ['--input-type=module', '-e', HOLDER, library, freshDirectory()];
  expect(await run(process.execPath, args)).toEqual({
    status: 0,
    stdout: 'refreshed\n',
    stderr: '',
  });
});
