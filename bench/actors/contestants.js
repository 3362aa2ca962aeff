// Each way to lock: `cycle` acquires and releases once, `acquire` waits for the lock and returns
// what releases it. One process runs one of them.
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { lock, lockSync, tryLock } from 'kernel-lock';
import { loadPeer } from '../lib/peers.js';

// The default directory goes unnamed, as users write it.
function own(path) {
  const name = basename(path, '.lock');
  const options = dirname(path) === '/tmp' ? undefined : { directory: dirname(path) };
  const endless = { ...options, wait: true };
  const waitSync = () => {
    const held = lockSync(name, endless);
    return () => held.release();
  };
  return { name, options, endless, waitSync };
}

export const CONTESTANTS = {
  'kernel-lock lockSync': (path) => {
    const { name, options, waitSync } = own(path);
    return { cycle: () => lockSync(name, options).release(), acquire: waitSync };
  },
  'kernel-lock tryLock': (path) => {
    const { name, options } = own(path);
    return { cycle: () => tryLock(name, options).release() };
  },
  'kernel-lock lock': (path) => {
    const { name, options, endless } = own(path);
    return {
      cycleAsync: async () => (await lock(name, options)).release(),
      acquire: async () => {
        const held = await lock(name, endless);
        return () => held.release();
      },
    };
  },
  'fs-native-extensions': (path) => {
    const { tryLock, unlock, waitForLock } = loadPeer('fs-native-extensions');
    writeFileSync(path, '');
    return {
      cycle: () => {
        const fd = openSync(path, 'r+');
        if (!tryLock(fd)) throw new Error('held');
        unlock(fd);
        closeSync(fd);
      },
      acquire: async () => {
        const fd = openSync(path, 'r+');
        await waitForLock(fd);
        return () => {
          unlock(fd);
          closeSync(fd);
        };
      },
    };
  },
  'fs-ext': (path) => {
    const { flock, flockSync } = loadPeer('fs-ext');
    writeFileSync(path, '');
    return {
      cycle: () => {
        const fd = openSync(path, 'r+');
        flockSync(fd, 'exnb');
        flockSync(fd, 'un');
        closeSync(fd);
      },
      acquire: async () => {
        const fd = openSync(path, 'r+');
        await new Promise((resolve, reject) => {
          flock(fd, 'ex', (error) => (error ? reject(error) : resolve()));
        });
        return () => {
          flockSync(fd, 'un');
          closeSync(fd);
        };
      },
    };
  },
  'proper-lockfile sync': (path) => {
    const { lockSync } = loadPeer('proper-lockfile');
    return { cycle: () => lockSync(path, { realpath: false })() };
  },
  'proper-lockfile': (path) => {
    const { lock } = loadPeer('proper-lockfile');
    return {
      cycleAsync: async () => (await lock(path, { realpath: false }))(),
      // Its own defaults: the first retry after a second, then two, four …
      acquire: () => lock(path, { realpath: false, retries: 10 }),
    };
  },
};
