// A partner of the interop cases: this package in another process, for Windows, and so that a case
// which fails with everybody can be told from one that fails with strangers. Every partner is started
// as `PARTNER… PATH` and says `ready`, or `ready record` if it writes an owner record. It is told in
// lines, and answers in lines:
//
//   lock ex|sh         [waits|polls] and, when it has the lock, held PID (whose lock it is)
//   try ex|sh          held PID, or refused
//   unlock             unlocked
//   count FILE TIMES   counted, after that many times: acquire, add one to the number in FILE, release
//
// `unsupported` answers a mode that it does not have. `waits` says that it sleeps in the kernel,
// `polls` that it tries again and again. The end of its input ends it.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';

const [library, path] = process.argv.slice(2);
const { lock, tryLock } = await import(library);
const name = basename(path, '.lock');
const directory = dirname(path);
let held;

const say = (word) => process.stdout.write(`${word}\n`);

async function acquire(wait, shared) {
  held = tryLock(name, { directory, shared });
  if (held === null && !wait) return say('refused');
  if (held === null) {
    say('waits');
    held = await lock(name, { directory, shared, wait: true });
  }
  say(`held ${process.pid}`);
}

async function count(file, times) {
  for (let i = 0; i < times; i++) {
    const mine = await lock(name, { directory, wait: true });
    writeFileSync(file, String(Number(readFileSync(file, 'utf8')) + 1));
    mine.release();
  }
  say('counted');
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [verb, first, second] = line.split(' ');
    if (verb === 'lock' || verb === 'try') return acquire(verb === 'lock', first === 'sh');
    if (verb === 'count') return count(first, Number(second));
    held.release();
    say('unlocked');
  })
  .on('close', () => process.exit());
say('ready record');
