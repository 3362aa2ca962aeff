// Windows programs on Linux.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const WINE = '/usr/lib/wine/wine64';
const WINE_SERVER = '/usr/lib/wine/wineserver';

/** A Windows of its own, in a folder below `scratch`. */
export class Wine {
  #prefix;
  #scratch;

  constructor(scratch) {
    this.#scratch = scratch;
    this.#prefix = join(scratch, 'wine');
  }

  /** What a program has to be started with; sets Windows up on first use. */
  get environment() {
    const environment = {
      ...process.env,
      WINEPREFIX: this.#prefix,
      WINEDEBUG: '-all',
      LC_ALL: 'C.UTF-8', // by which it names files: without it, none that is not ASCII
      TMPDIR: this.#scratch, // its server never removes the folder of its socket
    };
    if (!existsSync(this.#prefix)) {
      for (const args of [
        ['wineboot', '-i'],
        ['winecfg', '-v', 'win10'],
      ]) {
        const { status } = spawnSync(WINE, args, { env: environment, stdio: 'ignore' });
        if (status !== 0) throw new Error(`${WINE} ${args.join(' ')} failed`);
      }
    }
    return environment;
  }

  /** Ends it with all its processes. */
  stop() {
    if (existsSync(this.#prefix)) spawnSync(WINE_SERVER, ['-k', '-w'], { env: this.environment });
  }
}
