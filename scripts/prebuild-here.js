// Builds the addon for this machine with prebuildify and the system's compiler, under the name
// that prebuild-all.js gives it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TARGETS } from './prebuild/targets.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// prebuildify knows musl by Alpine's marker file alone.
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
const name = `${process.platform}-${process.arch}${process.platform === 'linux' ? `-${libc}` : ''}`;
const target = TARGETS.find((one) => one.name === name);
if (target === undefined) {
  console.error(
    `prebuild: ${name} is no target; there are ${TARGETS.map((t) => t.name).join(', ')}`,
  );
  process.exit(1);
}
const tags = [
  ...(target.platform === 'linux' ? ['--tag-libc'] : []),
  ...(target.arch === 'arm' ? ['--tag-armv'] : []),
];
const result = spawnSync('prebuildify', ['--napi', '--strip', ...tags], {
  cwd: root,
  env: { ...process.env, PREBUILD_LIBC: libc },
  stdio: 'inherit',
  shell: process.platform === 'win32',
});
if (result.status !== 0) process.exit(result.status ?? 1);
if (!existsSync(join(root, 'prebuilds', target.file))) {
  console.error(`prebuild: prebuilds/${target.file} was expected`);
  process.exit(1);
}
