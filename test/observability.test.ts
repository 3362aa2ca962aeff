// The samples of docs/observability.md do with real pino and real OpenTelemetry what it says.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { lockSync, tryLock } from '../dist/index.js';
import { REPOSITORY, start } from './support/run.js';
import { freshDirectory, freshName } from './support/scratch.js';

const LIBRARY = new URL('../dist/index.js', import.meta.url).href;
const page = readFileSync(join(REPOSITORY, 'docs', 'observability.md'), 'utf8');

/** The sample under a heading, between what the test puts before and after it, as a program. */
function program(heading: string, { before = '', after = '' }) {
  const name = freshName();
  const sample =
    new RegExp(`## ${heading}\n[\\s\\S]*?\`\`\`js\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? '';
  expect(sample).not.toBe('');
  const resolved = (before + sample + after)
    .replaceAll('trading_bot', name)
    .replace(/from '([^']+)'/g, (_, from: string) =>
      from.startsWith('node:')
        ? `from '${from}'`
        : `from '${from === 'kernel-lock' ? LIBRARY : import.meta.resolve(from)}'`,
    );
  const file = join(freshDirectory(), 'sample.mjs');
  writeFileSync(file, resolved);
  return { name, start: () => start(process.execPath, [file]) };
}

const lines = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('pino gets the events and what SingleInstance says', async () => {
  const { name, start } = program('pino', {});
  const { status, stdout, stderr } = await start().finished;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(lines(stdout)).toMatchObject([
    { level: 30, msg: 'lock acquired', name, waitedMs: 0 },
    { level: 30, msg: expect.stringContaining(`✅ Lock acquired for '${name}'`) },
  ]);
});

test('pino has the report of a refused start, though the process exits at once', async () => {
  const { name, start } = program('pino', {});
  const held = lockSync(name);
  onTestFinished(() => held.release());
  const { status, stdout, stderr } = await start().finished;
  expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
  expect(lines(stdout)).toMatchObject([
    { level: 30, msg: 'lock refused', name, holder: { pid: process.pid, source: 'kernel' } },
    { level: 50, msg: expect.stringContaining(`📍 Running instance PID: ${process.pid}`) },
  ]);
});

test('pino shows why a lock was lost', async () => {
  const { start } = program('pino', {
    before: `import { unlinkSync } from 'node:fs'; import { lockSync } from 'kernel-lock';`,
    after: `
      const held = lockSync('trading_bot-2');
      held.signal.addEventListener('abort', () => setImmediate(() => process.exit()));
      unlinkSync(held.path);
      setInterval(() => {}, 60_000);`,
  });
  const { stdout } = await start().finished;
  const told = lines(stdout).filter(({ msg }) => msg === 'lock lost');
  expect(told).toMatchObject([
    { error: { type: 'LockLostError', code: 'LOCK_LOST', stack: expect.stringContaining('\n') } },
  ]);
});

test('OpenTelemetry counts and measures', async () => {
  const { name, start } = program('OpenTelemetry', {
    before: `
      import * as sdk from '@opentelemetry/sdk-metrics';
      import * as otel from '@opentelemetry/api';
      import { lock, lockSync, tryLock } from 'kernel-lock';
      const exporter = new sdk.InMemoryMetricExporter(sdk.AggregationTemporality.CUMULATIVE);
      const reader = new sdk.PeriodicExportingMetricReader({ exporter });
      otel.metrics.setGlobalMeterProvider(new sdk.MeterProvider({ readers: [reader] }));`,
    after: `
      const first = lockSync('trading_bot');
      tryLock('trading_bot');
      const second = lock('trading_bot', { wait: true });
      first.release();
      (await second).release();
      await reader.forceFlush();
      const scope = exporter.getMetrics()[0].scopeMetrics[0];
      console.log(JSON.stringify(scope.metrics.map(({ descriptor, dataPoints }) =>
        [descriptor.name, dataPoints.map(({ attributes, value }) => [attributes, value.count ?? value])])));
      await reader.shutdown();`,
  });
  const { status, stdout, stderr } = await start().finished;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const about = { 'lock.name': name };
  expect(lines(stdout)[0]).toEqual([
    ['lock.wait.duration', [[{ ...about, 'lock.outcome': 'acquired' }, 1]]],
    ['lock.hold.duration', [[about, 2]]],
    ['lock.refusals', [[about, 1]]],
  ]);
  tryLock(name)?.release();
});
