// The packages that kernel-lock is compared with, in a folder of the bench's own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '..', '.peers');
const VERSIONS = { 'fs-native-extensions': '1.5.1', 'fs-ext': '2.1.1', 'proper-lockfile': '4.1.2' };
const PYTHON = '/usr/bin/python3'; // the system's, which has the distribution's filelock

/** Loads a peer; called in the process that measures it. */
export function loadPeer(name) {
  return createRequire(join(FOLDER, 'package.json'))(name);
}

/** Installs what is missing. Returns each peer's version, or why it can't be measured. */
export function installPeers(log) {
  const peers = new Map();
  if (!Object.keys(VERSIONS).every((name) => tryPeer(name).version === VERSIONS[name])) {
    log('installing the peers');
    mkdirSync(FOLDER, { recursive: true });
    const compile = 'cd node_modules/fs-ext && node-gyp rebuild';
    const description = { private: true, scripts: { compile }, dependencies: VERSIONS };
    writeFileSync(join(FOLDER, 'package.json'), JSON.stringify(description, null, 2));
    // Install scripts of dependencies may be forbidden; one's own scripts are not.
    npm('install', '--ignore-scripts', '--no-audit', '--no-fund');
    npm('run', 'compile');
  }
  for (const name of Object.keys(VERSIONS)) peers.set(name, tryPeer(name));
  peers.set('filelock', tryFilelock());
  return peers;
}

function npm(...args) {
  spawnSync('npm', args, { cwd: FOLDER, stdio: 'ignore', timeout: 600_000 });
}

function tryPeer(name) {
  try {
    loadPeer(name);
    return { version: loadPeer(`${name}/package.json`).version };
  } catch (error) {
    return { missing: `could not be installed: ${error.message.split('\n')[0]}` };
  }
}

function tryFilelock() {
  const script = 'import filelock; print(filelock.__version__)';
  const { status, stdout } = spawnSync(PYTHON, ['-c', script], { encoding: 'utf8' });
  return status === 0
    ? { version: stdout.trim(), python: PYTHON }
    : { missing: `${PYTHON} has no module filelock (Debian: python3-filelock)` };
}
