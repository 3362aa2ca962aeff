import { migration as sql } from '../postgres.js';
import { printLine } from './output.js';

/** The SQL that makes the tables of tokens: for psql, where the role that locks may not make tables. */
export function migration(): number {
  printLine(`${sql};`);
  return 0;
}
