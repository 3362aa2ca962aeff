// What the tests of a file are called, read from its text.
import { readFileSync } from 'node:fs';

// What stands first in the call of a test, a describe, or of what their each() and for() return; or in
// a row of those.
const TITLE = /(?:\b(?:test|describe)\(|\)\(|^ *\[)\s*(['"`])((?:\\.|(?!\1).)*)\1/gms;

/** The titles of the tests, describes and rows in the file at `path`. */
export function titlesOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(TITLE)].map(([, , title]) => title?.replaceAll("\\'", "'") ?? '');
}
