// Preloaded into a program: it stands still right before it opens a file or reads a directory, and says
// `paused`; it goes on when it is told to. --import 'pausing.mjs?path=PATH&time=2': not before the second time.
import fs, { readSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { searchParams } = new URL(import.meta.url);
let left = Number(searchParams.get('time') ?? 1);
for (const call of ['openSync', 'readdirSync']) {
  const really = fs[call];
  fs[call] = (path, ...rest) => {
    if (path === searchParams.get('path') && --left === 0) {
      writeSync(1, 'paused\n');
      readSync(0, Buffer.alloc(1));
    }
    return really(path, ...rest);
  };
}
syncBuiltinESMExports();
