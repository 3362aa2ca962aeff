// Runs the rows of npm run test:install, and prints what came of each.
//   node scripts/install/rows.js TOOLS [TEXT]      only the rows that contain TEXT
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pack } from '../pack.js';
import { endAll } from './child.js';
import { consumers } from './consumers.js';
import { MANAGERS } from './managers.js';
import { COMPILED, PREBUILT, Project } from './project.js';
import { startRegistry } from './registry.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [tools, only = ''] = [JSON.parse(process.argv[2]), process.argv[3]];
const here = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
for (const [needed, command] of [
  [join(root, 'dist', 'index.js'), 'npm run build:ts'],
  [here, 'npm run prebuild'],
]) {
  if (existsSync(needed)) continue;
  console.error(`test:install: ${needed} is missing: ${command}`);
  process.exit(1);
}

const outer = mkdtempSync(join(realpathSync(tmpdir()), 'kernel-lock-install-'));
chmodSync(outer, 0o755); // one row runs as another user
const scratch = join(outer, 'Bücher und 锁');
for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 })) {
  process.once(signal, async () => {
    await endAll();
    rmSync(outer, { recursive: true, force: true });
    process.exit(128 + number);
  });
}

const table = [];
try {
  mkdirSync(scratch);
  const tarball = pack(scratch);
  const [complete, bare] = await Promise.all([
    startRegistry(root, tarball),
    startRegistry(root, withoutPrebuilds(tarball)),
  ]);
  const project = (manager, registry, compiler) => {
    const folder = join(scratch, String(table.length));
    return new Project(folder, manager, tools[manager.tool], registry.url, { compiler });
  };
  for (const manager of MANAGERS) {
    for (const scripts of ['forbidden', 'allowed']) {
      await row(manager.name, scripts, 'prebuild, no compiler', async () => {
        const one = project(manager, complete, false);
        await one.install(scripts);
        await one.use(PREBUILT);
      });
    }
    await row(manager.name, 'forbidden', 'no prebuild: LOCK_NATIVE, advice followed', async () => {
      const one = project(manager, bare, true);
      await one.install('forbidden');
      await one.refuse('brings no native addon', manager.advice);
      await one.approve();
      await one.use(COMPILED);
    });
    await row(manager.name, 'allowed', 'no prebuild: compiled', async () => {
      const one = project(manager, bare, true);
      await one.install('allowed');
      await one.use(COMPILED);
    });
  }
  const [npm] = MANAGERS;
  for (const [tried, attempt] of Object.entries(consumers(root))) {
    await row(npm.name, 'forbidden', tried, async () => {
      const one = project(npm, complete, false);
      await one.install('forbidden', '@types/node');
      await attempt(one);
    });
  }
  for (const registry of [complete, bare]) registry.close();
} finally {
  await endAll();
  rmSync(outer, { recursive: true, force: true });
}

const failed = table.filter(({ result }) => result !== 'ok').length;
console.log('');
const columns = ['manager', 'scripts', 'tried', 'result'];
const widths = columns.map((one) => Math.max(one.length, ...table.map((line) => line[one].length)));
for (const line of [Object.fromEntries(columns.map((one) => [one, one])), ...table]) {
  console.log(
    columns
      .map((one, index) => line[one].padEnd(widths[index]))
      .join('  ')
      .trimEnd(),
  );
}
console.log(`${table.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 && table.length > 0 ? 0 : 1;

async function row(manager, scripts, tried, attempt) {
  const line = { manager, scripts, tried, result: 'ok' };
  if (!Object.values(line).join(' ').includes(only)) return;
  try {
    await attempt();
  } catch (error) {
    line.result = `FAILED: ${error.message.split('\n', 1)[0]}`;
    console.error(error.message);
  }
  table.push(line);
  console.log(`${manager}, scripts ${scripts}: ${tried}: ${line.result}`);
}

function withoutPrebuilds(tarball) {
  const folder = join(scratch, 'bare');
  mkdirSync(folder);
  execFileSync('tar', ['-xzf', tarball, '-C', folder]);
  const prebuilds = join(folder, 'package', 'prebuilds');
  for (const entry of readdirSync(prebuilds, { withFileTypes: true })) {
    if (entry.isDirectory()) rmSync(join(prebuilds, entry.name), { recursive: true });
  }
  const packed = join(scratch, 'bare.tgz');
  execFileSync('tar', ['-czf', packed, '-C', folder, 'package']);
  return packed;
}
