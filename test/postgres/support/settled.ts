import { expect } from 'vitest';
import type { Server } from './server.js';

/** Nothing of this package is left on the server: no session, no lock, nobody in line. */
export async function nothingLeft(server: Server): Promise<void> {
  await expect.poll(() => server.sessions(), { timeout: 20_000 }).toEqual([]);
  await expect.poll(() => server.locks()).toEqual({ held: 0, waiting: 0 });
}
