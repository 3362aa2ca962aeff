// A lock's name as the number that PostgreSQL locks.

let createHash: typeof import('node:crypto').createHash | undefined;

/**
 * The first 8 bytes of the name's SHA-256, as PostgreSQL's bigint has them (big-endian, signed). In
 * SQL: `('x' || left(encode(sha256('NAME'), 'hex'), 16))::bit(64)::bigint`. In decimal digits,
 * because that is how it travels.
 */
export async function keyOf(name: string): Promise<string> {
  createHash ??= (await import('node:crypto')).createHash; // milliseconds of an import
  return createHash('sha256').update(name).digest().readBigInt64BE(0).toString();
}
