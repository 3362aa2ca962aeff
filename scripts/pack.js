// The package as npm would publish it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Packs dist/ and prebuilds/ as they are, into `directory`; the path of the tarball. */
export function pack(directory) {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory];
  const shell = process.platform === 'win32'; // npm is a batch file there
  const [{ filename }] = JSON.parse(
    execFileSync('npm', args, { cwd: root, encoding: 'utf8', shell }),
  );
  return join(directory, filename);
}
