// The incident, played again with real processes and real signals: a bot is started twice, from
// two folders and with two environments. Run it with `npm run demo`.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lockPath } from 'kernel-lock';

const here = fileURLToPath(new URL('.', import.meta.url));
const cli = fileURLToPath(new URL('cli.js', import.meta.resolve('kernel-lock')));
const bot = join(here, 'bot.js');
const name = `trading_bot_demo_${process.pid}`;
const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-demo-'));
const running = new Set();
let step = 0;

// A process of the story: its output is shown as it comes, `says` waits for a line of it.
class Player {
  constructor(label, command, args, folder) {
    const home = join(scratch, folder, 'home');
    const temporary = join(scratch, folder, 'tmp');
    mkdirSync(home, { recursive: true });
    mkdirSync(temporary, { recursive: true });
    this.child = spawn(command, args, {
      cwd: join(scratch, folder),
      env: { ...process.env, HOME: home, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this.child);
    this.output = '';
    this.listeners = new Set();
    for (const stream of [this.child.stdout, this.child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text) => {
        this.output += text;
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) console.log(`   ${label} │ ${line}`);
        for (const listener of this.listeners) listener();
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        running.delete(this.child);
        resolve(signal ?? code);
        for (const listener of this.listeners) listener(true);
      });
    });
  }

  get pid() {
    return this.child.pid;
  }

  says(text) {
    return new Promise((resolve, reject) => {
      const look = (over) => {
        if (this.output.includes(text)) resolve();
        else if (over) reject(new Error(`expected "${text}" from PID ${this.pid}`));
      };
      this.listeners.add(look);
      look();
    });
  }
}

const startBot = (label, folder, ...args) =>
  new Player(
    label,
    process.execPath,
    [bot, '--name', name, '--mode', 'production', ...args],
    folder,
  );
const command = (label, ...args) =>
  new Player(label, process.execPath, [cli, ...args], 'elsewhere');

function tell(text) {
  step++;
  console.log(`\n${step}. ${text}`);
}

function expect(what, actual, wanted) {
  if (actual !== wanted) throw new Error(`${what}: expected ${wanted}, got ${actual}`);
  console.log(`   → ${what}: ${actual}`);
}

async function play() {
  console.log(`The lock is called '${name}'; the kernel holds it on ${lockPath(name)}.`);

  tell('A bot is started in folder one, with a HOME and a TMPDIR of its own. It trades.');
  const first = startBot('bot 1', 'one');
  await first.says('Trading in production mode');

  tell('It is started again by mistake: another folder, another HOME, another TMPDIR.');
  const second = startBot('bot 2', 'two');
  expect('exit status of the second bot', await second.ended, 1);
  await second.says(`Running instance PID: ${first.pid}`);

  tell('Anybody can ask who is running. Asking never gets into the way of a starter.');
  const check = command('check', name, '--check');
  expect('exit status of the check', await check.ended, 0);
  await check.says(`PID: ${first.pid}`);

  tell(`kill -9 of the first bot (PID ${first.pid}): no handler runs, nothing is cleaned up.`);
  first.child.kill('SIGKILL');
  expect('the first bot was ended by', await first.ended, 'SIGKILL');

  tell('The third bot starts at once. There is no stale file to delete and no timeout to sit out.');
  const third = startBot('bot 3', 'three');
  await third.says('Trading in production mode');

  tell('SIGTERM to the third bot: it finishes its work, then it ends as the signal would have.');
  third.child.kill('SIGTERM');
  expect('the third bot was ended by', await third.ended, 'SIGTERM');
  await third.says('Positions closed');

  tell('A shell script that knows nothing of this package, run under the same lock …');
  const script = 'echo "the script works as PID $$"; while :; do sleep 0.1; done';
  const shell = command('script', 'run', name, '--', 'sh', '-c', script);
  await shell.says(`the script works as PID ${shell.pid}`);
  console.log('   … keeps the bot out (and kept its PID: `run` became the script):');
  const fourth = startBot('bot 4', 'four');
  expect('exit status of the fourth bot', await fourth.ended, 1);

  tell('… until it is asked to stop by name.');
  const kill = command('kill', name, '--kill');
  expect('exit status of the kill', await kill.ended, 0);
  await shell.ended;

  tell('And the other way round: while the bot trades, the script is refused.');
  const fifth = startBot('bot 5', 'five');
  await fifth.says('Trading in production mode');
  const refused = command('script', 'run', name, '--', 'sh', '-c', 'echo "this never runs"');
  expect('exit status of the refused script', await refused.ended, 75);

  tell('--force ends the running bot first and takes over.');
  const sixth = startBot('bot 6', 'six', '--force');
  expect('the fifth bot was ended by', await fifth.ended, 'SIGTERM');
  await sixth.says('Trading in production mode');
  sixth.child.kill('SIGINT');
  expect('the sixth bot was ended by', await sixth.ended, 'SIGINT');

  console.log('\nAt no moment did two of them trade.');
}

try {
  await play();
} finally {
  for (const child of running) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
  // Only because this name was made for the demo and nobody can be using it any more; the file
  // of a real lock stays where it is.
  rmSync(lockPath(name), { force: true });
}
