// The layers: imports go downwards only. A new file has to be given a layer here.
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { REPOSITORY } from './support/run.js';

const LAYERS = [
  [
    'types',
    'errors',
    'events',
    'proc',
    'cancel',
    'kernel',
    'elf',
    'advice',
    'own-directory',
    'directory',
    'with',
  ],
  ['name', 'held'],
  ['native', 'path', 'options', 'second', 'report'],
  ['linux-process', 'linux-mounts', 'linux-table', 'lost', 'shutdown'],
  ['linux-descriptors'],
  ['linux', 'facts'],
  ['system'],
  ['owner', 'request', 'wait', 'fresh', 'heir', 'loads'],
  ['inspect'],
  ['refusal'],
  ['lock'],
  ['acquire', 'terminate'],
  ['instance'],
  ['index', 'cli/exit', 'cli/args', 'cli/output', 'cli/help'],
  // The same on a server: nothing of the above but the bottom, and the words.
  ['postgres/types', 'postgres/key', 'postgres/table', 'postgres/failure'],
  ['postgres/client'],
  ['postgres/session'],
  ['postgres/release'],
  ['postgres/inspect', 'postgres/lock'],
  ['postgres/refusal'],
  ['postgres/acquire', 'postgres/terminate'],
  ['postgres/connection'],
  ['postgres'],
  ['cli/server', 'cli/ends', 'cli/migration'],
  ['cli/under'],
  ['cli/progress', 'cli/table'],
  ['cli/watch', 'cli/run-beside'],
  ['cli/check', 'cli/kill', 'cli/run', 'cli/wait', 'cli/list', 'cli/path'],
  ['cli/main'],
];

// Within a layer only these, and types from anywhere.
const SIDEWAYS = new Set([
  'path → native',
  'second → path',
  'cli/output → cli/args',
  'cli/help → cli/args',
  'cli/help → cli/output',
]);

const source = join(REPOSITORY, 'src');
const modules = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.slice(0, -'.ts'.length));

const layerOf = (module: string) => LAYERS.findIndex((layer) => layer.includes(module));

function importsOf(module: string): string[] {
  const text = readFileSync(join(source, `${module}.ts`), 'utf8');
  const imports = text.matchAll(/^(?:import|export)\s(?!type\s)[^;]*?from\s+'(\.[^']+)\.js'/gm);
  return [...imports].map((match) =>
    posix.normalize(posix.join(posix.dirname(module), match[1] as string)),
  );
}

describe('the house', () => {
  test.each(modules)('%s has a layer', (module) => {
    expect(layerOf(module)).toBeGreaterThanOrEqual(0);
  });

  test.each(modules)('%s imports from lower layers only', (module) => {
    const upward = importsOf(module)
      .filter((imported) => layerOf(imported) >= layerOf(module))
      .map((imported) => `${module} → ${imported}`)
      .filter((edge) => !SIDEWAYS.has(edge));
    expect(upward).toEqual([]);
  });

  test('the two halves share the bottom alone, and pg is one half’s', () => {
    const shared = [
      'types',
      'errors',
      'events',
      'cancel',
      'name',
      'held',
      'with',
      'options',
      'report',
    ];
    for (const module of modules) {
      const inPostgres = /^postgres\b/.test(module);
      for (const imported of importsOf(module)) {
        const fromPostgres = /^postgres\b/.test(imported);
        if (inPostgres && !fromPostgres) expect(shared, module).toContain(imported);
        if (fromPostgres && !inPostgres) expect(module).toMatch(/^cli\//);
      }
      const text = readFileSync(join(source, `${module}.ts`), 'utf8');
      if (module !== 'postgres/client') expect(text, module).not.toMatch(/['"]pg['"]/);
    }
  });

  test('only addon*.cc know Node-API, and no native file wraps itself in a platform check', () => {
    const native = join(REPOSITORY, 'native');
    for (const file of readdirSync(native)) {
      const text = readFileSync(join(native, file), 'utf8');
      if (!file.startsWith('addon')) expect(text, file).not.toMatch(/\bnapi_|napi\.h|node_api/);
      expect(text, file).not.toMatch(/#\s*if.*(__linux__|__APPLE__|_WIN32)/);
      expect(text, file).not.toMatch(/\buv_[a-z]+\(/);
    }
  });
});
