// The library as one file and the command line as another: twenty modules take longer to
// import than everything that is in them takes to run.
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));

rmSync('dist', { recursive: true, force: true });
await build({
  entryPoints: { index: 'src/index.ts', cli: 'src/cli/main.ts' },
  outdir: 'dist',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: `node${/\d+/.exec(engines.node)[0]}`,
  legalComments: 'none',
});
chmodSync('dist/cli.js', 0o755);
