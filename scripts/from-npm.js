// Tools that only a script needs come from npm on first use, each into a folder of its own below
// node_modules/.cache: they are too big, or for too many platforms, to be devDependencies.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(
  new URL('../node_modules/.cache/kernel-lock-runtimes', import.meta.url),
);

/** The path of `file` in the package `name`, whose newest version within `version` is fetched. */
export function fromNpm([name, version, file]) {
  const folder = join(cache, `${name.replace('/', '+')}@${version}`);
  const path = join(folder, 'node_modules', name, file);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    // --force, because the package may be for another platform than this.
    const args = [
      'install',
      '--prefix',
      folder,
      '--no-save',
      '--force',
      '--ignore-scripts',
      `${name}@${version}`,
    ];
    execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return path;
}
