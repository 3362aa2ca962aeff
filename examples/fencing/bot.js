// node bot.js NAME: trades while it holds the lock, and stops when that is in doubt.
import { lock } from 'kernel-lock/postgres';
import pg from 'pg';
import { placeOrder } from './order-book.js';

const [name] = process.argv.slice(2);
const connectionString = process.env.DATABASE_URL;

const held = await lock(process.env.LOCK_NAME ?? 'trading_bot', { connectionString, wait: true });
console.log(`${name}: trading, with token ${held.token}`);

// The order book's connection is not the lock's: a late write gets through on it.
const client = new pg.Client({ connectionString });
await client.connect();

for (let n = 1; ; n++) {
  if (held.signal.aborted) {
    console.log(`${name}: ${held.signal.reason.code}, stopping`);
    break;
  }
  // The check above is no guarantee: whatever long pause comes here, the lock can be gone after it.
  if (process.env.PAUSE_BEFORE === String(n)) {
    console.log(`${name}: suspended before order ${n}`);
    process.kill(process.pid, 'SIGSTOP');
  }
  const taken = await placeOrder(client, name, held.token, `order ${n}`);
  console.log(`${name}: order ${n} ${taken ? 'taken' : `refused, token ${held.token} is too old`}`);
  if (!taken) break;
  await new Promise((resolve) => setTimeout(resolve, 100));
}
await client.end();
await held.release();
