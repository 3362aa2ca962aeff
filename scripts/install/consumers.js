// What users do with the installed package beside running it.
import { chmodSync, cpSync, lstatSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { PREBUILT } from './project.js';

const PROGRAMS = ['import.mjs', 'require.cjs'];
const AS_NOBODY = ['/usr/bin/setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];

const PLAIN = `
import { lock, SingleInstance, type Holder } from 'kernel-lock';
export const held = await lock('plain');
export const holders: Holder[] = [];
export const instance = new SingleInstance('plain');
`;

const ESM = `
import { createRequire } from 'node:module';
import { type Lock, LockHeldError, type LockOptions, lock } from 'kernel-lock';
const options: LockOptions = { directory: process.argv[2] as string };
const held: Lock = await lock('installed', options);
console.log(\`held=\${held.held}\`);
const refused: unknown = await lock('installed', options).catch((error: unknown) => error);
if (!(refused instanceof LockHeldError) || refused.holder?.pid !== process.pid) throw refused;
held.release();
const { cache } = createRequire(import.meta.url);
console.log(\`held=\${held.held} addon=\${Object.keys(cache).find((file) => file.endsWith('.node'))}\`);
export {};
`;

const CJS = `
import kernelLock = require('kernel-lock');
const held: kernelLock.Lock = kernelLock.lockSync('installed', { directory: process.argv[2] as string });
console.log(\`held=\${held.held}\`);
held.release();
const addon = Object.keys(require.cache).find((file) => file.endsWith('.node'));
console.log(\`held=\${held.held} addon=\${addon}\`);
`;

/** What is tried, by its name in the table. */
export function consumers(root) {
  const tool = (name) => join(root, 'node_modules', '.bin', name);

  return {
    'TypeScript nodenext': (project) =>
      typeScript(project, tool('tsc'), { module: 'nodenext', outDir: 'out' }),
    'TypeScript bundler': (project) =>
      typeScript(project, tool('tsc'), {
        module: 'preserve',
        moduleResolution: 'bundler',
        noEmit: true,
      }),
    'read-only node_modules, another user': readOnly,
    'esbuild, kernel-lock external': (project) => bundle(project, ['kernel-lock']),
    'esbuild, kernel-lock bundled': (project) => bundle(project, []),
    'esbuild, bundle moved away': async (project) => {
      await bundle(project, []);
      const away = join(dirname(project.path), 'away');
      renameSync(join(project.path, 'out'), away);
      const installed = join(project.path, 'node_modules', 'kernel-lock');
      for (const file of PROGRAMS) {
        const { status, output } = await project.run(project.node(join(away, file), project.locks));
        if (status === 0 || !output.includes('as node_modules/kernel-lock beside it')) {
          throw new Error(`${file}, alone: ${output}`);
        }
      }
      cpSync(installed, join(away, 'node_modules', 'kernel-lock'), { recursive: true });
      for (const file of PROGRAMS) await holds(project, join(away, file));
    },
    'the demo': async (project) => {
      cpSync(join(root, 'examples', 'trading-bot'), project.path, { recursive: true });
      const output = await project.expect(project.node('demo.js'));
      if (!output.includes('At no moment did two of them trade')) throw new Error(output);
    },
  };
}

async function holds(project, file, prefix = []) {
  const output = await project.expect([...prefix, ...project.node(file, project.locks)]);
  if (!/held=true\n.*held=false/s.test(output) || !output.includes(PREBUILT)) {
    throw new Error(`${file}: not with the prebuild\n${output}`);
  }
}

async function bundle(project, external) {
  for (const file of PROGRAMS) {
    await build({
      entryPoints: [join(project.path, file)],
      outfile: join(project.path, 'out', file),
      bundle: true,
      platform: 'node',
      format: file.endsWith('.cjs') ? 'cjs' : 'esm',
      external,
      logLevel: 'silent',
    });
    await holds(project, join('out', file));
  }
}

async function typeScript(project, tsc, options) {
  const compile = async (files, types) => {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(project.path, file), text);
    const compilerOptions = {
      target: 'es2022',
      strict: true,
      skipLibCheck: false,
      types,
      ...options,
    };
    const config = { compilerOptions, files: Object.keys(files) };
    writeFileSync(join(project.path, 'tsconfig.json'), JSON.stringify(config));
    await project.expect([...project.node(tsc), '-p', '.']);
  };
  await compile({ 'plain.mts': PLAIN }, []); // our declarations need no others
  await compile({ 'esm.mts': ESM, 'cjs.cts': CJS }, ['node']);
  if (options.noEmit) return;
  for (const file of ['esm.mjs', 'cjs.cjs']) await holds(project, join('out', file));
}

async function readOnly(project) {
  // Root writes whatever the modes say, so another user has to try.
  const prefix = process.getuid() === 0 ? AS_NOBODY : [];
  chmodSync(project.locks, 0o777);
  const modules = join(project.path, 'node_modules');
  setWritable(modules, false);
  try {
    for (const file of PROGRAMS) await holds(project, file, prefix);
    const touched = await project.run([...prefix, '/usr/bin/touch', join(modules, 'x')]);
    if (touched.status === 0) throw new Error('node_modules can be written to');
  } finally {
    setWritable(modules, true); // so that it can be deleted
  }
}

function setWritable(folder, writable) {
  const paths = readdirSync(folder, { recursive: true }).map((path) => join(folder, path));
  for (const path of [folder, ...paths]) {
    const stats = lstatSync(path);
    if (stats.isSymbolicLink()) continue;
    chmodSync(path, writable ? stats.mode | 0o200 : stats.mode & ~0o222);
  }
}
