// npm run lint:package: what publint and attw say of the packed tarball.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from './pack.js';

// The package is ESM, and its oldest Node.js can require() that. attw judges by TypeScript 5.6,
// which did not know; npm run test:install compiles and runs a CommonJS consumer.
const CHECKS = [
  ['publint', 'run', '--strict'],
  ['attw', '--profile', 'esm-only', '--no-emoji'],
];

const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-package-'));
try {
  const tarball = pack(scratch);
  for (const [command, ...args] of CHECKS) {
    const { status } = spawnSync(command, [...args, tarball], {
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
    if (status !== 0) process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
