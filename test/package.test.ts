// What the package runs when it is installed, what it loads, and what could steer it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { REPOSITORY } from './support/run.js';

const { scripts, dependencies, bin, files } = JSON.parse(
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
