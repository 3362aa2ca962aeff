// The first process of a PID namespace: it lets the holder of a lock die while a killer is between
// two system calls, and gives the holder's pid to somebody else.
//   reuse.mjs DIRECTORY CALL SUCCESSOR [PREFIX …]
// CALL is where the killer stands, SUCCESSOR a command that gets the pid and says `ready`; PREFIX
// runs the killer. Prints what the killer was told and whether the successor lives, as JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [, , directory, call, successor, ...prefix] = process.argv;
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const RUN = [here('../../dist/cli.js'), 'run', 'bot', '--directory', directory, '--'];

function start(command, ...args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  const news = new Set();
  child.stdout.setEncoding('utf8').on('data', (text) => {
    said += text;
    for (const look of news) look();
  });
  const ended = once(child, 'close');
  const says = (text) =>
    new Promise((resolve, reject) => {
      const look = () => said.includes(text) && resolve();
      news.add(look);
      look();
      ended.then(() => reject(new Error(`${command} ended before it said "${text}": ${said}`)));
    });
  return { child, pid: child.pid, ended, says, text: () => said };
}

/** Starts a program that gets this pid. */
async function startAs(pid, ...command) {
  for (;;) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
    const started = start(...command);
    if (started.pid === pid) return started;
    started.child.kill('SIGKILL'); // a thread took the pid
    await started.ended;
  }
}

function isAlive(pid) {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const holder = start(process.execPath, ...RUN, 'sh', '-c', 'echo ready; exec sleep 60');
await holder.says('ready\n');
const [command, ...args] = [...prefix, process.execPath, here('killer.mjs'), call, directory];
const killer = start(command, ...args);
await killer.says('paused\n');
holder.child.kill('SIGKILL');
await holder.ended;
const stay = ['sh', '-c', 'echo ready; read wait'];
const next = await startAs(
  holder.pid,
  ...(successor === 'instance' ? [process.execPath, ...RUN, ...stay] : stay),
);
await next.says('ready\n');
killer.child.stdin.end('go');
await killer.ended;
const told = JSON.parse(killer.text().replaceAll('paused\n', ''));
console.log(JSON.stringify({ samePid: next.pid === holder.pid, lives: isAlive(next.pid), told }));
process.exit();
