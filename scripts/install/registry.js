// A package registry on the loopback interface. It has the packed kernel-lock, and of everything
// else what this repository's node_modules has: installs that know no other registry need no
// network.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const RELEASED = '2020-01-01T00:00:00.000Z'; // managers refuse what is very new

/** @returns {Promise<{ url: string, close(): void }>} */
export async function startRegistry(root, tarball) {
  const packages = new Map([['kernel-lock', [{ folder: root, tarball: readFileSync(tarball) }]]]);
  const lockfile = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  for (const path of Object.keys(lockfile.packages)) {
    const name = /.*node_modules\/(.+)$/.exec(path)?.[1];
    if (name === undefined) continue;
    packages.set(name, [...(packages.get(name) ?? []), { folder: join(root, path) }]);
  }

  const server = createServer((request, response) => {
    answer(decodeURIComponent(request.url.slice(1))).then(
      (body) => {
        response.writeHead(body === undefined ? 404 : 200);
        response.end(body);
      },
      (error) => {
        response.writeHead(404);
        response.end(String(error));
      },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}/`;
  return {
    url,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };

  async function answer(path) {
    const [name, index] = path.split('/-/');
    const versions = packages.get(name);
    if (versions === undefined) return undefined;
    if (index === undefined) return JSON.stringify(await describe(name, versions));
    return bytesOf(versions[Number.parseInt(index, 10)]);
  }

  async function describe(name, versions) {
    const described = await Promise.all(
      versions.map(async (version, index) => {
        const manifest = JSON.parse(readFileSync(join(version.folder, 'package.json'), 'utf8'));
        const bytes = await bytesOf(version);
        const { scripts = {} } = manifest;
        return {
          ...manifest,
          hasInstallScript:
            'preinstall' in scripts || 'install' in scripts || 'postinstall' in scripts,
          dist: {
            tarball: `${url}${name}/-/${index}.tgz`,
            integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
          },
        };
      }),
    );
    const newest = described.at(0).version;
    return {
      name,
      'dist-tags': { latest: newest },
      versions: Object.fromEntries(described.map((one) => [one.version, one])),
      time: Object.fromEntries(described.map((one) => [one.version, RELEASED])),
    };
  }
}

async function bytesOf(version) {
  version.tarball ??= run(
    'tar',
    [
      '-czf',
      '-',
      '--exclude',
      'node_modules',
      '-C',
      dirname(version.folder),
      basename(version.folder),
    ],
    { encoding: 'buffer', maxBuffer: 1 << 28 },
  ).then(({ stdout }) => stdout);
  return version.tarball;
}
