// npm run test:install: the packed package, installed into empty projects by every package manager,
// with its install script allowed and forbidden, without network and without a compiler.
// Needs dist/ and this machine's prebuild: npm run build:ts, npm run prebuild.
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fetchTools } from './install/managers.js';

const rows = fileURLToPath(new URL('install/rows.js', import.meta.url));
const onlyLoopback = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"'];

const tools = fetchTools();
const [probe, ...probeArgs] = [...onlyLoopback, 'true'];
const cutOff = spawnSync(probe, probeArgs).status === 0;
console.log(
  cutOff
    ? 'network: none but the loopback interface'
    : 'network: not cut off (that takes root and unshare); no registry but our own is configured',
);
const [command, ...args] = [
  ...(cutOff ? onlyLoopback : []),
  process.execPath,
  rows,
  JSON.stringify(tools),
  ...process.argv.slice(2),
];
const child = spawn(command, args, { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('close', (code, signal) => {
  process.exitCode = signal === null ? code : 1;
});
