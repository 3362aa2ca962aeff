// What to do where the native part can't be loaded.
import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';

const PLATFORMS = ['linux', 'darwin', 'win32'];

/** The message of a `LOCK_NATIVE`: what is wrong, and what to do. `root` is the package's folder. */
export function adviceFor(cause: NodeJS.ErrnoException, root: string): string {
  const machine = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(process.platform)) {
    return `kernel-lock has no native part for ${machine}: it knows Linux, macOS and Windows`;
  }
  if (cause.code === 'ERR_DLOPEN_DISABLED') {
    return process.permission === undefined
      ? 'kernel-lock needs its native addon, and --no-addons forbids it; start node without --no-addons'
      : "Node's permission model forbids native addons here; start node with --allow-addons as well";
  }
  if (cause.code === 'ERR_ACCESS_DENIED') {
    return `Node's permission model forbids reading kernel-lock's native addon; start node with --allow-fs-read=${join(root, sep)} as well`;
  }
  if (cause.code === 'MODULE_NOT_FOUND') {
    return (
      'kernel-lock is part of a bundle here, and its native addon was not found; ' +
      'deploy the package with the bundle, as node_modules/kernel-lock beside it or in a folder above'
    );
  }
  const tools =
    process.platform === 'win32' ? 'Visual Studio Build Tools' : 'make and a C++ compiler';
  const compile = `${rebuildCommand(root)}, which needs Python and ${tools}`;
  return cause.code === 'ENOENT'
    ? `kernel-lock brings no native addon for ${machine}; compile it: ${compile}`
    : `kernel-lock's native addon does not load here (${firstLine(cause.message)}); install kernel-lock again, or compile it: ${compile}`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] as string;
}

// Each manager wants to be told in its own way that this package may run its install script.
function rebuildCommand(root: string): string {
  const modules = /^.*?[\\/]node_modules(?=[\\/])/.exec(root)?.[0] ?? root;
  const has = (...path: string[]) => existsSync(join(modules, ...path));
  if (/[\\/]\.?pnpm[\\/]/.test(root) || has('.modules.yaml')) {
    return '`pnpm approve-builds kernel-lock`, then `pnpm rebuild kernel-lock`';
  }
  if (/[\\/]\.yarn[\\/]/.test(root) || has('.yarn-state.yml')) {
    return '"dependenciesMeta": { "kernel-lock": { "built": true } } in package.json, then `yarn rebuild kernel-lock`';
  }
  if (has('..', 'bun.lock')) return '`bun pm trust kernel-lock`';
  return '`npm rebuild kernel-lock` (npm 12: first `npm install-scripts approve kernel-lock`)';
}
