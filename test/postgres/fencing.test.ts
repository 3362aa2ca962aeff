import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { REPOSITORY, run } from '../support/run.js';
import { Server } from './support/server.js';

test('the example: a late write is refused', async () => {
  const server = await Server.start();
  onTestFinished(() => server.stop());
  const demo = join(REPOSITORY, 'examples/fencing/demo.js');
  const { status, stdout, stderr } = await run(process.execPath, [demo, server.url()]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const [, one] = /bot 1: trading, with token (\d+)/.exec(stdout) ?? [];
  expect(stdout).toContain(`bot 2: trading, with token ${BigInt(one ?? 0) + 1n}`);
  expect(stdout).toContain(`bot 1: order 3 refused, token ${one} is too old`);
  expect(stdout).toContain('late order was refused');
  const orders = await server.sql('SELECT bot, token FROM orders ORDER BY id');
  const tokens = orders.map(({ token }) => Number(token));
  expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
  expect(orders.filter(({ bot }) => bot === 'bot 1')).toHaveLength(2);
});
