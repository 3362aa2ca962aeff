// The pages that name what attacks a promise name what is there.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { REPOSITORY } from './support/run.js';
import { titlesOf } from './support/titles.js';

const read = (file: string) => readFileSync(join(REPOSITORY, file), 'utf8');
const { scripts } = JSON.parse(read('package.json'));

describe.each(['docs/guarantees.md', 'docs/threat-model.md'])('%s', (page) => {
  const text = read(page);
  const files = [...text.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file as string);
  const commands = [...text.matchAll(/`npm run ([\w:-]+)/g)].map(([, name]) => name as string);
  // `FILE`: _title_, _title_; _title_
  const lists = [...text.matchAll(/`(test\/[^`]+)`((?:[^`_\n]{1,3}_[^_\n]+_)+)/g)];
  const titles = lists.flatMap(([, file, list]) =>
    [...(list as string).matchAll(/_([^_]+)_/g)].map(([, title]) => [file, title] as const),
  );

  test('names files and npm scripts that are there', () => {
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((file) => !existsSync(join(REPOSITORY, file)))).toEqual([]);
    expect(commands.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  test('names tests that are there', () => {
    expect(titles.length).toBeGreaterThan(20);
    const missing = titles.filter(
      ([file, title]) =>
        !titlesOf(join(REPOSITORY, file as string)).some((one) => one.includes(title as string)),
    );
    expect(missing).toEqual([]);
  });

  test('has a test in each row that says it is attacked or shown', () => {
    const rows = text.split('\n').filter((line) => line.startsWith('| ') && !line.includes('---'));
    const untested = rows.filter((row) => !/`test\/|`npm run|not tested/.test(row));
    const heads = untested.filter((row) => /\| (attacked by|shown by) /.test(row));
    expect(untested).toEqual(heads);
  });
});
