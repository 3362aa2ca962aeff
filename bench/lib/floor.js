import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Compiles floor.c; returns the program's path. */
export function buildFloor(scratch) {
  const program = scratch.file('floor');
  const source = join(import.meta.dirname, '..', 'floor.c');
  const { status, error } = spawnSync('cc', ['-O2', '-o', program, source], { stdio: 'inherit' });
  if (status !== 0) throw error ?? new Error('the C floor could not be compiled');
  return program;
}
