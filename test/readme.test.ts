// The README's JavaScript is run, and what it says of the package is compared with the package.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as api from '../dist/index.js';
import { REPOSITORY, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
const samples = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map((match) => match[1] as string);

describe('the README', () => {
  test('has samples', () => {
    expect(samples.length).toBeGreaterThanOrEqual(2);
  });

  test.each(samples.map((sample, index) => [index, sample] as const))(
    'sample %i runs',
    async (_, sample) => {
      // The samples' names are users' names; the test has its own.
      const renamed = sample
        .replaceAll('trading_bot', freshName())
        .replaceAll('import_prices', freshName())
        .replaceAll("from 'kernel-lock'", `from '${new URL('../dist/index.js', import.meta.url)}'`);
      const file = join(freshDirectory(), 'sample.mjs');
      writeFileSync(file, renamed);
      expect(await start(process.execPath, [file]).finished).toMatchObject({
        status: 0,
        stderr: '',
      });
    },
  );

  test('names every error code and class', () => {
    for (const [name, value] of Object.entries(api)) {
      if (typeof value === 'function' && value.prototype instanceof Error) {
        expect(readme, name).toContain(`\`${name}`);
      }
    }
  });

  test('names every function and class', () => {
    for (const name of Object.keys(api)) expect(readme).toContain(name);
  });
});

describe('every public export', () => {
  test('has a doc comment', () => {
    const undocumented: string[] = [];
    for (const file of [
      'errors',
      'events',
      'types',
      'lock',
      'inspect',
      'terminate',
      'instance',
      'shutdown',
    ]) {
      const text = readFileSync(join(REPOSITORY, 'src', `${file}.ts`), 'utf8');
      for (const match of text.matchAll(
        /(.*)\n(export (?:async )?(?:class|function|interface|type) (\w+))/g,
      )) {
        // Overloads follow the documented one.
        const overload = (match[1] as string).endsWith(';');
        if (!/\*\/$/.test(match[1] as string) && !overload && match[3] !== 'withLock')
          undocumented.push(`${file}.ts: ${match[3]}`);
      }
    }
    expect(undocumented.filter((name) => !INTERNAL.has(name))).toEqual([]);
  });
});

const INTERNAL = new Set([
  'shutdown.ts: Shutdown',
  ...['Waited', 'Acquired', 'Released', 'Lost'].map((end) => `events.ts: tell${end}`),
]);
