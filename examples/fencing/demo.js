// Two bots and an order book: node examples/fencing/demo.js postgres://user@host/database
// The first bot is stopped in the middle of its work (SIGSTOP: a long garbage collection, a suspended
// virtual machine), its session ends, the second one takes over, and the first wakes up and writes.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { killRunning } from 'kernel-lock/postgres';
import pg from 'pg';
import { TABLES } from './order-book.js';

const [connectionString] = process.argv.slice(2);
const name = `fencing_demo_${process.pid}`;
const running = new Set();

function start(bot, env = {}) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('bot.js', import.meta.url)), bot], {
    env: { ...process.env, DATABASE_URL: connectionString, LOCK_NAME: name, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  const ended = new Promise((resolve) => {
    child.on('close', () => {
      running.delete(child);
      resolve();
    });
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    process.stdout.write(text);
  });
  const says = (text) =>
    new Promise((resolve, reject) => {
      const look = () => output.includes(text) && resolve();
      child.stdout.on('data', look);
      look();
      ended.then(() => reject(new Error(`${bot} ended before it said "${text}"`)));
    });
  return { child, says };
}

const client = new pg.Client({ connectionString });
await client.connect();
try {
  await client.query(TABLES);
  await client.query('UPDATE book SET token = 0');

  const first = start('bot 1', { PAUSE_BEFORE: '3' });
  await first.says('suspended');
  const second = start('bot 2');
  console.log('-- bot 1 is stopped, having looked whether it holds the lock; its session ends');
  await killRunning(name, { connectionString });
  await second.says('order 2 taken');
  console.log('-- bot 1 goes on');
  // More than once: it says that it is suspended right before it is.
  const waking = setInterval(() => first.child.kill('SIGCONT'), 100);
  await first.says('refused').finally(() => clearInterval(waking));
  console.log('-- its late order was refused');
} finally {
  for (const child of running) child.kill('SIGKILL');
  await client.end();
}
