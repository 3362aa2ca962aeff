// npm run test:native: test/native/ as programs, on this processor and those that QEMU and Wine
// emulate here. A target that can't be run fails, and says what is missing.
//   node scripts/test-native.js [--only NAME]… [--cache DIR]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NATIVE_TARGETS, runNative } from './platforms/native.js';
import { conclude } from './platforms/rows.js';
import { Wine } from './platforms/wine.js';
import { prepareToolchain } from './prebuild/toolchain.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: { only: { type: 'string', multiple: true }, cache: { type: 'string' } },
});
const toolchain = prepareToolchain(root, options.cache);
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-native-'));
const wine = new Wine(scratch);
const rows = [];
try {
  for (const target of NATIVE_TARGETS) {
    if (options.only?.includes(target.name) === false) continue;
    const result = runNative(root, target, toolchain, scratch, wine);
    rows.push({ platform: target.name, runtime: 'native part', ...result });
  }
} finally {
  wine.stop();
  rmSync(scratch, { recursive: true, force: true });
}
conclude(rows);
