// Builds every target again, from a copy of the sources in another folder, and compares the bytes
// with those in prebuilds/. Exits 1 where they differ.
//   node scripts/check-reproducible.js [--only NAME]…
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TARGETS } from './prebuild/targets.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options } = parseArgs({ options: { only: { type: 'string', multiple: true } } });
const targets = TARGETS.filter(({ name }) => options.only?.includes(name) ?? true);
const cache =
  process.env.KERNEL_LOCK_PREBUILD_CACHE || join(root, 'node_modules/.cache/kernel-lock-prebuild');

const copy = mkdtempSync(join(tmpdir(), 'kernel-lock-again-'));
const different = [];
try {
  for (const part of ['binding.gyp', 'package.json', 'native', 'scripts']) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const only = targets.flatMap(({ name }) => ['--only', name]);
  execFileSync(
    process.execPath,
    ['scripts/prebuild-all.js', '--out', join(copy, 'prebuilds'), '--cache', cache, ...only],
    { cwd: copy, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  for (const { name, file } of targets) {
    const [first, second] = [root, copy].map((where) =>
      readFileSync(join(where, 'prebuilds', file)),
    );
    if (!first.equals(second)) different.push(name);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
for (const name of different) console.error(`prebuilds: ${name} has other bytes the second time`);
console.log(
  `${targets.length - different.length} of ${targets.length} targets have the same bytes`,
);
process.exitCode = different.length === 0 ? 0 : 1;
