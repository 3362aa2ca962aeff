import { lockPath } from '../acquire.js';
import type { Call } from './args.js';
import { printJson, printLine } from './output.js';

export function path({ name, location, json }: Call): number {
  const file = lockPath(name, location);
  if (json) printJson({ name, path: file });
  else printLine(file);
  return 0;
}
