// A row of a table passes only where every case ran, but for those that it names.
import { join } from 'node:path';
import { expect, test } from 'vitest';
// @ts-expect-error: JavaScript without declarations
import { runCases } from '../scripts/platforms/rows.js';
import { freshDirectory } from './support/scratch.js';

const judge = (output: string, mayNotRun?: string[]) => {
  const program = [process.execPath, '-e', `console.log(${JSON.stringify(output)})`];
  return runCases(program, process.env, join(freshDirectory(), 'log'), mayNotRun);
};

test('a case that was not run has failed, unless the row names it', () => {
  const output = '2 cases\nok      a\nnot run b: no PowerShell';
  expect(judge(output).failed).toEqual(['it has to run here: not run b: no PowerShell']);
  expect(judge(output, ['c']).failed).toHaveLength(1);
  expect(judge(output, ['b'])).toEqual({
    passed: 1,
    names: ['a'],
    failed: [],
    notRun: ['not run b: no PowerShell'],
  });
});

test('a case that is missing has failed', () => {
  expect(judge('2 cases\nok      a').failed).toEqual(['1 of 2 cases were accounted for']);
  expect(judge('not run b: x', ['b']).failed).toContain('no case passed');
});
