// Builds the addon for every target on this machine, into prebuilds/, and checks what came out.
//   node scripts/prebuild-all.js [--only NAME]… [--cache DIR] [--out DIR]
// See prebuild/toolchain.js for where the compiler is kept.
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildAddon } from './prebuild/compile.js';
import { TARGETS } from './prebuild/targets.js';
import { prepareToolchain } from './prebuild/toolchain.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    cache: { type: 'string' },
    out: { type: 'string' },
  },
});
const names = options.only ?? TARGETS.map((target) => target.name);
const unknown = names.find((name) => !TARGETS.some((target) => target.name === name));
if (unknown !== undefined) {
  console.error(
    `prebuild: no target '${unknown}'; there are ${TARGETS.map((t) => t.name).join(', ')}`,
  );
  process.exit(64);
}
const out = resolve(options.out ?? join(root, 'prebuilds'));

const toolchain = prepareToolchain(root, options.cache);
for (const target of TARGETS) {
  if (!names.includes(target.name)) continue;
  const file = join(out, target.file);
  buildAddon(root, target, toolchain, file);
  console.log(`${target.name.padEnd(18)} ${String(statSync(file).size).padStart(7)} bytes`);
}
if (options.out === undefined) {
  const only = (options.only ?? []).flatMap((name) => ['--only', name]);
  const check = join(root, 'scripts', 'check-prebuilds.js');
  process.exitCode =
    spawnSync(process.execPath, [check, ...only], { stdio: 'inherit' }).status ?? 1;
}
