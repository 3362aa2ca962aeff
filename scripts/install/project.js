// An empty project with kernel-lock in it, installed by one of the managers, and what is tried there.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { run } from './child.js';
import { configure } from './managers.js';

export const PREBUILT = `${sep}prebuilds${sep}`;
export const COMPILED = `${sep}build${sep}Release${sep}`;

const PROGRAMS = {
  'import.mjs': `
    import { createRequire } from 'node:module';
    import { lock } from 'kernel-lock';
    const { cache } = createRequire(import.meta.url);
    const [directory] = process.argv.slice(2);
    const held = await lock('installed', { directory });
    console.log(\`held=\${held.held}\`);
    held.release();
    console.log(\`held=\${held.held} addon=\${Object.keys(cache).find((file) => file.endsWith('.node'))}\`);`,
  'require.cjs': `
    const { lockSync } = require('kernel-lock');
    const [directory] = process.argv.slice(2);
    const held = lockSync('installed', { directory });
    console.log(\`held=\${held.held}\`);
    held.release();
    const addon = Object.keys(require.cache).find((file) => file.endsWith('.node'));
    console.log(\`held=\${held.held} addon=\${addon}\`);`,
};

export class Project {
  /** `compiler`: the tools of this machine are on the PATH; otherwise nothing but node and sh. */
  constructor(folder, manager, tool, registry, { compiler }) {
    this.manager = manager;
    this.tool = tool;
    this.registry = registry;
    this.path = join(folder, 'project');
    this.locks = join(folder, 'locks');
    const [home, temporary, bin] = ['home', 'tmp', 'bin'].map((name) => join(folder, name));
    for (const path of [this.path, this.locks, home, temporary, bin]) {
      mkdirSync(path, { recursive: true });
    }
    const [node] = this.manager.linker === 'pnp' ? [process.execPath] : manager.node(tool);
    symlinkSync(node, join(bin, 'node'));
    symlinkSync('/bin/sh', join(bin, 'sh'));
    // Bun's own node-gyp calls it by name.
    if (basename(tool[0]) === 'bun') symlinkSync(tool[0], join(bin, 'bun'));
    this.env = {
      PATH: compiler ? `${bin}:${process.env.PATH}` : bin,
      HOME: home,
      TMPDIR: temporary,
      LANG: 'C.UTF-8',
      // The headers of this Node.js, which node-gyp would download otherwise.
      ...(compiler ? { npm_config_nodedir: dirname(dirname(process.execPath)) } : {}),
    };
    for (const [file, text] of Object.entries(PROGRAMS)) writeFileSync(join(this.path, file), text);
  }

  run([command, ...args], options = {}) {
    return run(command, args, { cwd: this.path, env: this.env, ...options });
  }

  async expect(words, options) {
    const { status, output } = await this.run(words, options);
    if (status === 0) return output;
    throw new Error(`${words.join(' ')} ended with ${status}\n${output}`);
  }

  async install(scripts, ...packages) {
    const { manager } = this;
    const { manifest, args = [] } = scripts === 'allowed' ? manager.allow : {};
    configure(manager, this, this.registry, manifest);
    const how = scripts === 'allowed' ? args : (manager.forbid ?? []);
    const words = [...this.tool, ...manager.add, ...how, 'kernel-lock', ...packages];
    const { status, output } = await this.run(words);
    const complained = scripts === 'forbidden' && manager.complaint !== undefined;
    if (complained ? !output.includes(manager.complaint) : status !== 0) {
      throw new Error(`${words.join(' ')} ended with ${status}\n${output}`);
    }
  }

  /** Does what the manager's own words in the error message say. */
  async approve() {
    const { approve, approveManifest } = this.manager;
    if (approveManifest !== undefined) {
      const file = join(this.path, 'package.json');
      const manifest = { ...JSON.parse(readFileSync(file, 'utf8')), ...approveManifest };
      writeFileSync(file, JSON.stringify(manifest));
    }
    for (const args of approve) await this.expect([...this.tool, ...args]);
  }

  /** The output of a program in the project's folder, run by the project's node. */
  node(file, ...args) {
    return [...this.manager.node(this.tool), file, ...args];
  }

  /** Takes and releases a lock by import, by require and by the command. */
  async use(addon) {
    for (const file of Object.keys(PROGRAMS)) {
      const output = await this.expect(this.node(file, this.locks));
      if (!/held=true\n.*held=false/s.test(output) || !output.includes(addon)) {
        throw new Error(`${file}: not with ${addon}\n${output}`);
      }
    }
    const bin = this.manager.bin(this.tool, this.path);
    const where = ['installed', '--directory', this.locks];
    const path = await this.expect([...bin, 'path', ...where]);
    if (!path.includes(join(this.locks, 'installed.lock'))) throw new Error(`path: ${path}`);
    const free = await this.run([...bin, 'check', ...where]);
    if (free.status !== 1) throw new Error(`check of a free lock: ${free.output}`);
    await this.expect([...bin, 'run', ...where, '--', ...bin, 'check', ...where]);
  }

  /** Every way in throws LOCK_NATIVE, with these words. */
  async refuse(...words) {
    for (const file of Object.keys(PROGRAMS)) {
      const { status, output } = await this.run(this.node(file, this.locks));
      if (status === 0 || ![...words, "code: 'LOCK_NATIVE'"].every((one) => output.includes(one))) {
        throw new Error(`${file} ended with ${status}, not with ${words}\n${output}`);
      }
    }
  }
}
