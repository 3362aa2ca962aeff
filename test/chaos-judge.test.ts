// The judge of `npm run test:chaos` can tell: logs that no lock would have let come about, and
// runs that show nothing.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
// @ts-expect-error: JavaScript without declarations
import { judge, missing } from './chaos/judge.js';
import { freshDirectory } from './support/scratch.js';

const problemsOf = async (lines: string[], dead: string[] = []) =>
  (await judged(lines, dead)).problems;

function judged(lines: string[], dead: string[] = []) {
  const file = join(freshDirectory(), 'log');
  appendFileSync(file, `${lines.join('\n')}\n`);
  return judge(file, new Set(dead));
}

test('one after the other, and readers together, are no problem', async () => {
  const lines = [
    'B 1 0 ',
    'E 1 0 1',
    'b 2 0 ',
    'b 3 0 ',
    'e 2 0 1',
    'e 3 0 1',
    'B 2 1 ',
    'E 2 1 2',
  ];
  expect(await judged(lines)).toEqual({ exclusive: 2, shared: 2, problems: [] });
});

test('two inside are told', async () => {
  expect(await problemsOf(['B 1 0 ', 'B 2 0 ', 'E 2 0 1', 'E 1 0 2'])).toEqual([
    'log: line 2: 1/0 was inside still',
    'log: line 4: 1/0 was inside all along',
  ]);
});

test.each(['b', 'B'])('a writer beside another (%s) is told', async (kind) => {
  expect(await problemsOf([`${kind} 1 0 `, 'B 2 0 ', 'E 2 0 1'])).toContain(
    'log: line 2: 1/0 was inside still',
  );
});

test('one that was killed inside leaves no end, and may have counted', async () => {
  for (const next of ['1', '2']) {
    const lines = ['B 1 0 ', 'B 2 0 ', `E 2 0 ${next}`];
    expect(await problemsOf(lines, ['1'])).toEqual([]);
    expect(await problemsOf(['B 1.7 0 ', ...lines.slice(1)], ['1'])).toEqual([]);
    expect(await problemsOf(['B 1.7 0 ', ...lines.slice(1)], ['1.7'])).toEqual([]);
  }
  expect(await problemsOf(['B 1 0 ', 'B 2 0 ', 'E 2 0 3'], ['1'])).toHaveLength(1);
});

test('one that is said to be dead and goes on is told', async () => {
  expect(await problemsOf(['B 1 0 ', 'B 2 0 ', 'E 1 0 1', 'E 2 0 2'], ['1'])).toEqual([
    'log: line 3: 1/0 was inside all along',
  ]);
});

test.each(['1', '3', '0', '-1', 'NaN', '', 'x'])('an update to %j is lost', async (value) => {
  expect(await problemsOf(['B 1 0 ', 'E 1 0 1', 'B 2 0 ', `E 2 0 ${value}`])).toEqual([
    `counter: line 4: ${value} came after 1`,
  ]);
});

test('a reader that saw another count than the last writer is told', async () => {
  expect(await problemsOf(['B 1 0 ', 'E 1 0 1', 'b 2 0 ', 'e 2 0 0'])).toEqual([
    'counter: line 4: 0 came after 1',
  ]);
});

test('an end without a begin is told', async () => {
  expect(await problemsOf(['E 1 0 1'])).toEqual(['log: line 1: 1/0 never began']);
});

test('a run in which little happened is told, by the minute', () => {
  const enough = { exclusive: 3000, shared: 1000 };
  expect(missing(enough, { killed: 1 }, 2, ['killed'])).toEqual([]);
  expect(missing({ exclusive: 0, shared: 0 }, {}, 0.15, ['killed'])).toEqual([
    'fewer than 225 exclusive acquisitions',
    'fewer than 75 shared acquisitions',
  ]);
  expect(missing({ ...enough, shared: 999 }, { killed: 0 }, 2, ['killed', 'filled'])).toEqual([
    'fewer than 1000 shared acquisitions',
    'nothing was counted as killed',
    'nothing was counted as filled',
  ]);
});
