// A bot that must never run twice. The two lines that matter are marked.
//
//   node bot.js --mode production      trade, or be refused with a report and exit status 1
//   node bot.js --check-instances      who is trading?
//   node bot.js --mode production --force   end the running instance first, then trade
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { inspect, killRunning, SingleInstance } from 'kernel-lock'; // (1)

const { values } = parseArgs({
  options: {
    mode: { type: 'string', default: 'paper' },
    name: { type: 'string', default: 'trading_bot' },
    'check-instances': { type: 'boolean', default: false },
    force: { type: 'boolean', default: false },
  },
});
const { name, mode } = values;

if (values['check-instances']) {
  const { held, holders } = inspect(name);
  console.log(held ? `Trading: PID ${holders.map((holder) => holder.pid)}` : 'Nobody is trading');
  process.exit(held ? 0 : 1);
}

if (values.force && (await killRunning(name))) console.log('The running instance was stopped');

new SingleInstance(name, {
  metadata: { mode },
  async onShutdown(signal) {
    console.log(`${signal}: closing positions …`);
    await sleep(100); // the exchange answers
    console.log('Positions closed');
  },
}); // (2)

console.log(`Trading in ${mode} mode`);
setInterval(() => {
  // look at the market, open and close positions
}, 1000);
