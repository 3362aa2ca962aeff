// Whether a held lock's file is still in its place.

import { type FSWatcher, watch } from 'node:fs';

/**
 * Calls `onChange` whenever something happened to the file at `path`: a change of its links, its
 * name, its times or its content. Does not keep the process alive. Returns a function that ends it.
 */
export function watchFile(path: string, onChange: () => void): () => void {
  let watcher: FSWatcher;
  try {
    watcher = watch(path, { persistent: false }, onChange);
  } catch {
    onChange(); // not there, or no watch to be had: look now
    return () => {};
  }
  watcher.on('error', onChange);
  return () => watcher.close();
}
