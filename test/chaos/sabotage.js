// A build of the package that lacks what keeps two from being inside, to show that the judge can
// tell.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Builds the package without the comparison of the locked file with the one at the path.
 * @returns {string} its `dist`
 */
export function withoutInodeCheck(root, directory) {
  const copy = join(directory, 'sabotaged');
  mkdirSync(copy);
  for (const part of ['package.json', 'binding.gyp', 'native', 'dist']) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const source = join(copy, 'native', 'lock_posix.cc');
  const before = readFileSync(source, 'utf8');
  const after = before.replace(/(bool still_at_path\([^)]*\) \{)[^}]*\}/, '$1 return true; }');
  if (after === before) throw new Error('there is no still_at_path to take out');
  writeFileSync(source, after);
  execFileSync('npm', ['run', 'build:native'], { cwd: copy, stdio: ['ignore', 'ignore', 'pipe'] });
  return join(copy, 'dist');
}
