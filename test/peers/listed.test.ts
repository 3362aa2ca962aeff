// docs/peers.md lists the cases of others; those whose promise it calls the same or the contrary are
// tried here.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { REPOSITORY } from '../support/run.js';
import { titlesOf } from '../support/titles.js';

const page = readFileSync(join(REPOSITORY, 'docs', 'peers.md'), 'utf8');
const folder = join(REPOSITORY, 'test', 'peers');
const files = readdirSync(folder).filter((file) => file !== 'listed.test.ts');

test.each(files)('%s has the cases that the page says it has', (file) => {
  const [section = ''] = page
    .split(/^## /m)
    .filter((text) => text.includes(`(../test/peers/${file})`));
  // A title names one case or several, and may have a value of its row after that.
  const titles = titlesOf(join(folder, file)).flatMap((title) =>
    title.replace(/ %\w$/, '').split(', '),
  );
  const tried = section
    .split('\n')
    .filter((line) => /\| the (?:same|contrary)\b/.test(line))
    .flatMap((line) => [...(line.split(' | ')[0] as string).matchAll(/`([^`]+)`/g)])
    .map((match) => match[1] as string);
  expect(tried.length).toBeGreaterThan(5);
  expect(tried.filter((name) => !titles.includes(name))).toEqual([]);
});
