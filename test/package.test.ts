// What the package runs when it is installed, what it loads, and what could steer it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lockSync } from '../dist/index.js';
import { requireProgram } from './support/requires.js';
import { CLI, REPOSITORY, run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

const { scripts, dependencies, bin, files, prebuild } = JSON.parse(
  readFileSync(join(REPOSITORY, 'package.json'), 'utf8'),
);

/** The text of each file of a directory. */
function texts(directory: string): [file: string, text: string][] {
  return readdirSync(join(REPOSITORY, directory), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|js|cc)$/.test(file))
    .map((file) => [file, readFileSync(join(REPOSITORY, directory, file), 'utf8')]);
}

describe('the package', () => {
  test('runs one script when it is installed: the one that compiles where no addon loads', () => {
    const lifecycle = ['preinstall', 'install', 'postinstall', 'preprepare', 'postprepare'];
    const own = Object.keys(scripts).filter((script) => lifecycle.includes(script));
    expect(own).toEqual(['install']);
    expect(scripts.install).toBe('node-gyp-build');
    expect(prebuild).toEqual({ test: 'dist/loads.js' });
    // Both are for that script: nothing of them is loaded by a program.
    expect(Object.keys(dependencies)).toEqual(['node-addon-api', 'node-gyp-build']);
    expect(bin).toEqual({ 'kernel-lock': 'dist/cli.js' });
    expect(files).not.toContain('scripts');
  });

  test('loads nothing but Node.js and its own addon, and pg when it is asked for PostgreSQL', () => {
    for (const [file, text] of texts('dist')) {
      const imports = text.matchAll(
        /^(?:import|export) [^;]*?from "([^"]+)"|(?:require|load|import)\w*\(\s*["']([^"']+)["']/gm,
      );
      for (const [, imported, required] of imports) {
        if (required === 'pg') continue; // not before a connection is wanted
        expect(imported ?? required, file).toMatch(/^(node:|\.|kernel-lock)/);
      }
    }
  });

  // Node.js itself and the loader of programs obey theirs, PATH is for finding what `run` runs.
  test('obeys no environment variable', () => {
    const readers = texts('src').filter(([, text]) =>
      /process\.env|\benv\b\s*[,}].*process/.test(text),
    );
    expect(readers.map(([file]) => file)).toEqual(['cli/run.ts']);
    // There it gives the program what Node.js took out.
    expect(readers[0]?.[1].match(/process\.env.*/g)).toEqual(['process.env[name] = value;']);
    for (const [file, text] of texts('native')) {
      if (file === 'command_line_win.cc') continue; // PATH and PATHEXT, which execvp knows elsewhere
      expect(text, file).not.toMatch(/getenv|\benviron\b|GetEnvironmentVariable/);
    }
  });

  test('starts no program but the one that run was given', () => {
    const spawning = texts('src').filter(([, text]) => /child_process/.test(text));
    expect(spawning.map(([file]) => file)).toEqual(['cli/run-beside.ts']);
    const starting = texts('native').filter(([, text]) =>
      /::exec[vl]|posix_spawn|CreateProcess|\bsystem\(|popen\(/.test(text),
    );
    expect(starting.map(([file]) => file).sort()).toEqual([
      'exec_linux.cc',
      'exec_mac.cc',
      'job_win.cc',
    ]);
  });
});

/** What a process and its threads did to start others, to reach the network and to change files. */
async function deeds(args: string[]): Promise<string[]> {
  const log = join(freshDirectory('strace'), 'log');
  const calls = [
    'socket,connect,bind,listen,execve,execveat,?fork,?vfork,clone,?clone3,?open,openat,?creat',
    '?unlink,unlinkat,?rename,?renameat,?renameat2,?mkdir,mkdirat,?link,linkat,?symlink,symlinkat',
  ];
  const strace = ['-f', '-qq', '-e', 'signal=none', '-e', `trace=${calls}`, '-o', log];
  const { status, stderr } = await run('strace', [...strace, process.execPath, ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  return lines.filter((call) => !/CLONE_THREAD|O_RDONLY|O_PATH|<\.\.\. .* resumed>/.test(call));
}

/** The C library asks for the name of the user at this socket, where there is one. */
const NAME_SERVICE = /socket\(AF_UNIX|"\/var\/run\/nscd\/socket"/;

describe('a process that uses it', () => {
  const directory = () => JSON.stringify(freshDirectory());
  const acquire = () => [
    ...['--input-type=module', '-e'],
    `import { inspect, killRunning, list, lock, lockSync, withLock } from '${REPOSITORY}/dist/index.js';
    const options = { directory: ${directory()} };
    const held = lockSync('bot', options);
    held.signal.addEventListener('abort', () => {});
    const next = lock('bot', { ...options, wait: true });
    await lock('bot', { ...options, wait: 1 }).catch(() => {});
    inspect('bot', options);
    list(options);
    held.release();
    (await next).release();
    await killRunning('bot', options);
    await withLock('bot', options, () => {});`,
  ];
  const ask = (...command: string[]) => {
    const place = freshDirectory();
    lockSync('bot', { directory: place });
    return [CLI, ...command, '--directory', place];
  };

  test.for([
    ['acquires, waits, asks and kills', acquire, /"[^"]+\/bot\.lock", O_RDWR/],
    ['is `check`', () => ask('check', 'bot'), undefined],
    ['is `list`', () => ask('list'), undefined],
  ] as const)(
    'and %s: no program, no connection, no file but the lock',
    async ([, args, file], context) => {
      requireProgram(context, 'strace');
      const [start, ...rest] = await deeds(args());
      expect(start).toContain('execve(');
      const others = rest.filter((call) => !NAME_SERVICE.test(call));
      expect(others.filter((call) => !file?.test(call))).toEqual([]);
      if (file !== undefined) expect(others).not.toEqual([]);
    },
  );
});
