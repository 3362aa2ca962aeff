// The samples of docs/postgres.md, and the README's, do with a real server what they say.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { REPOSITORY, run } from '../support/run.js';
import { freshDirectory, freshName } from '../support/scratch.js';
import { Server } from './support/server.js';
import { nothingLeft } from './support/settled.js';

let server: Server;
beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server.stop());

const samples = ['docs/postgres.md', 'README.md'].flatMap((file) => {
  const text = readFileSync(join(REPOSITORY, file), 'utf8');
  return [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)]
    .map((match) => match[1] as string)
    .filter((sample) => sample.includes("from 'kernel-lock/postgres'"));
});

test('there are samples', () => expect(samples.length).toBeGreaterThanOrEqual(4));

test.each(samples.map((sample, i) => [i, sample] as const))('sample %i runs', async (_, sample) => {
  const dist = (file: string) => `from '${new URL(`../../dist/${file}`, import.meta.url)}'`;
  // `using` is for a younger Node than the oldest that this package runs on.
  const code = sample
    .replaceAll('trading_bot', freshName())
    .replaceAll('import_prices', freshName())
    .replaceAll("from 'kernel-lock/postgres'", dist('postgres.js'))
    .replaceAll("from 'kernel-lock'", dist('index.js'))
    .replaceAll(/(?:await )?using /g, 'const ');
  const file = join(freshDirectory(), 'sample.mjs');
  writeFileSync(file, code);
  const env = { ...process.env, DATABASE_URL: server.url() };
  const { status, stdout, stderr } = await run(process.execPath, [file], { env });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).not.toBe('');
  await nothingLeft(server);
});
