import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runsOnMusl } from '../src/elf.js';
import { run } from './support/run.js';
import { freshDirectory } from './support/scratch.js';

// What the linker writes for a program of that system; it need not run here.
test.for([
  ['-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1', true],
  ['-Wl,--dynamic-linker=/lib/ld-musl-armhf.so.1', true],
  ['-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2', false],
  ['-Wl,--dynamic-linker=/lib/ld-linux-aarch64.so.1', false],
  ['-Wl,--dynamic-linker=/nix/store/0a1b-glibc-2.40-66/lib/ld-linux-x86-64.so.2', false],
  ['-static', undefined],
] as const)('a program linked with %s runs on musl: %s', async ([flag, musl]) => {
  const program = join(freshDirectory(), 'program');
  const source = 'int main(void) { return 0; }';
  const compiled = await run('sh', ['-c', `echo '${source}' | cc -x c - -o '${program}' ${flag}`]);
  expect(compiled).toMatchObject({ status: 0 });
  expect(runsOnMusl(program)).toBe(musl);
});

test('this very Node.js runs on glibc, as its report says', () => {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  expect(runsOnMusl(process.execPath)).toBe(header.glibcVersionRuntime === undefined);
});

test('what can not be read, or is no program, tells nothing', () => {
  expect(runsOnMusl('/nowhere')).toBe(undefined);
  expect(runsOnMusl('/etc/passwd')).toBe(undefined);
});
