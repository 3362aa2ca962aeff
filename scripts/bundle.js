// The library as one file, its PostgreSQL half as another and the command line as a third: twenty
// modules take longer to import than everything that is in them takes to run.
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));

rmSync('dist', { recursive: true, force: true });
const common = {
  outdir: 'dist',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: `node${/\d+/.exec(engines.node)[0]}`,
  legalComments: 'none',
  external: ['pg'],
};

// One LockError for both halves: who catches one's errors asks with the other's classes.
const errorsOfIndex = {
  name: 'errors of index.js',
  setup({ onResolve }) {
    onResolve({ filter: /\/errors\.js$/ }, () => ({ path: './index.js', external: true }));
  },
};

const entryPoints = { index: 'src/index.ts', cli: 'src/cli/main.ts', loads: 'src/loads.ts' };
await build({ ...common, entryPoints });
await build({
  ...common,
  entryPoints: { postgres: 'src/postgres.ts' },
  plugins: [errorsOfIndex],
});
chmodSync('dist/cli.js', 0o755);
