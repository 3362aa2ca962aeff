// Reads the headers of every prebuilt addon and says what is wrong with it: a target that is
// missing, the wrong machine, a library or symbol that not every system has, a size; and weighs the
// package with all of them.
//   node scripts/check-prebuilds.js [--only NAME]… [--dir DIR]
// Exits 1 if anything is.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { examine } from './prebuild/expect.js';
import { TARGETS } from './prebuild/targets.js';

const MAX_PACKAGE_BYTES = 1_000_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: { only: { type: 'string', multiple: true }, dir: { type: 'string' } },
});
const directory = resolve(options.dir ?? join(root, 'prebuilds'));
const targets = TARGETS.filter(({ name }) => options.only?.includes(name) ?? true);

const problems = [];
const rows = [];
let total = 0;
for (const target of targets) {
  let file;
  try {
    file = readFileSync(join(directory, target.file));
  } catch (error) {
    problems.push(`${target.file}: ${error.code === 'ENOENT' ? 'is missing' : error.message}`);
    continue;
  }
  try {
    const found = examine(target, file);
    const packed = gzipSync(file, { level: 9 }).length;
    total += packed;
    problems.push(...found.problems.map((problem) => `${target.file}: ${problem}`));
    rows.push({
      target: target.name,
      bytes: file.length,
      packed,
      minimum: found.image.minimum ?? '',
      libraries: found.image.libraries.length,
      imports: found.image.imports.length,
      'Node-API': found.nodeApi,
      ok: found.problems.length === 0 ? 'yes' : 'NO',
    });
  } catch (error) {
    problems.push(`${target.file}: can't be read: ${error.message}`);
  }
}
if (options.only === undefined) {
  const known = TARGETS.map((target) => target.file);
  for (const folder of readdirSync(directory, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    for (const name of readdirSync(join(directory, folder.name))) {
      const file = `${folder.name}/${name}`;
      if (!known.includes(file)) problems.push(`${file}: belongs to no target`);
    }
  }
}

printTable(rows);
console.log(`${rows.length} of ${targets.length} targets, ${total} bytes packed`);
if (options.only === undefined && options.dir === undefined) {
  const [{ size }] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
      shell: process.platform === 'win32', // npm is a batch file there
    }),
  );
  console.log(`the whole package: ${size} bytes packed`);
  if (size > MAX_PACKAGE_BYTES) problems.push(`the package has over ${MAX_PACKAGE_BYTES} bytes`);
}
for (const problem of problems) console.error(`prebuilds: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;

function printTable(lines) {
  const [first] = lines;
  if (first === undefined) return;
  const columns = Object.keys(first);
  const widths = columns.map((column) =>
    Math.max(column.length, ...lines.map((line) => String(line[column]).length)),
  );
  for (const line of [Object.fromEntries(columns.map((column) => [column, column])), ...lines]) {
    const cells = columns.map((column, index) =>
      typeof first[column] === 'number'
        ? String(line[column]).padStart(widths[index])
        : String(line[column]).padEnd(widths[index]),
    );
    console.log(cells.join('  ').trimEnd());
  }
}
