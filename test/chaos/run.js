// npm run test:chaos -- [--minutes N] [--seed N] [--sabotage no-lock | no-inode-check]
//
// Processes and threads acquire, wait, cancel, check and kill at random on a few names, and are
// killed, stopped and starved of descriptors, while lock files are deleted, renamed and replaced
// and the disk is full now and then. What they did is judged by witnesses that know nothing of
// locks (section.js, judge.js). Exits 0 where nobody was ever inside with another, no update was
// lost, no wait hung, nothing was left open, and enough went on to say so; what there has to be of each
// kind is looked at from a minute on. With --sabotage it exits 0 if the witnesses spoke: where there is
// no lock, each of them has to.
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { judge, missing } from './judge.js';
import { random } from './random.js';
import { withoutInodeCheck } from './sabotage.js';
import { makeCounter } from './section.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    sabotage: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (
  !(minutes > 0) ||
  !Number.isInteger(seed) ||
  !/^(no-lock|no-inode-check)?$/.test(values.sabotage ?? '')
) {
  console.error('chaos: usage: [--minutes N] [--seed N] [--sabotage no-lock | no-inode-check]');
  process.exit(64);
}

const NAMES = ['red', 'orange', 'yellow', 'green', 'blue'];
const PROCESSES = 6;
const DESCRIPTORS = 256;
/** How long one that is told to stop may take over the wait that it is in, in milliseconds. */
const PATIENCE = 60_000;
/** What speaks where two are inside, by what has to break it. */
const WITNESSES = { 'no-lock': ['witness', 'counter', 'log'], 'no-inode-check': [] };

const chance = random(seed);
const directory = mkdtempSync(join(tmpdir(), 'kernel-lock-chaos-'));
const locks = join(directory, 'locks');
const children = new Set();
const dead = new Set();
const problems = [];
/** What has to be there in a run of a minute. Whether a thread lacks descriptors to start with is luck. */
const EVENTS = [
  ...['started', 'ended', 'killed', 'stopped', 'terminated'],
  ...['deleted', 'renamed', 'replaced', 'killRunning'],
  ...['starved', 'EMFILE', 'cancelled', 'asked'],
];
const counts = Object.fromEntries(EVENTS.map((kind) => [kind, 0]));
let stopping = false;
let nextSeed = seed;
let mounted = false;

try {
  prepare();
  await storm();
  await report();
} finally {
  for (const { child } of children) child.kill('SIGKILL');
  await Promise.all([...children].map(({ ended }) => ended));
  if (mounted) execFileSync('umount', [locks]);
  rmSync(directory, { recursive: true, force: true });
}

function prepare() {
  mkdirSync(locks);
  mkdirSync(join(directory, 'alive'));
  writeFileSync(join(directory, 'overlaps'), '');
  for (const name of NAMES) makeCounter(directory, name);
  // A disk of its own can be filled.
  if (process.getuid() === 0) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'kernel-lock-chaos', locks]);
    mounted = true;
    EVENTS.push('filled');
  } else {
    console.log('not run: a full disk, because only root can mount a small one');
  }
}

async function storm() {
  const library =
    values.sabotage === 'no-inode-check' ? withoutInodeCheck(root, directory) : join(root, 'dist');
  const settings = {
    directory,
    locks,
    names: NAMES,
    library: pathToFileURL(join(library, 'index.js')).href,
    noLock: values.sabotage === 'no-lock',
    fullDisk: mounted,
  };
  console.log(
    `chaos: seed ${seed}, ${minutes} minutes, ${PROCESSES} processes on ${NAMES.length} names, ` +
      `${cpus()[0]?.model}, ${cpus().length} cores, Node.js ${process.version}`,
  );
  const slots = Array.from({ length: PROCESSES }, (_, slot) =>
    keep('participant.js', () => ({ ...settings, threads: slot % 3, mayStarve: slot < 2 })),
  );
  const vandal = keep('vandal.js', () => settings);
  const end = performance.now() + minutes * 60_000;
  let reported = performance.now();
  while (performance.now() < end && problems.length === 0 && !haveSpoken()) {
    await new Promise((next) => setTimeout(next, 50 + chance.below(1000)));
    disturb();
    if (performance.now() - reported > 60_000) {
      reported = performance.now();
      console.log(
        `chaos: ${Math.round((end - reported) / 60_000)} minutes to go, ${JSON.stringify(counts)}`,
      );
    }
  }
  stopping = true;
  for (const entry of children) stop(entry);
  await Promise.all([...slots, vandal]);
}

/** Whether there is enough to judge already; the log is read at the end. */
function haveSpoken() {
  const spoken = told();
  const wanted = WITNESSES[values.sabotage] ?? [];
  return (
    spoken.length > 0 &&
    wanted.every((one) => one === 'log' || spoken.some((line) => line.startsWith(one)))
  );
}

/** Tells one to end by itself, and to say what it has left open. */
function stop(entry) {
  const { child, kind } = entry;
  child.kill('SIGCONT');
  if (child.connected && entry.ready) child.send('stop', () => {});
  entry.patience ??= setTimeout(() => {
    if (values.sabotage === undefined)
      problems.push(`${kind} ${child.pid} is stuck: ${waitingIn(child.pid)}`);
    child.kill('SIGKILL');
  }, PATIENCE);
}

// Starts it again as often as it is killed, until the end.
async function keep(file, settingsOf) {
  while (!stopping && problems.length === 0) {
    // The pids of the system are used again within the hour.
    const id = String(counts.started++);
    const settings = { ...settingsOf(), id, seed: nextSeed++ };
    const child = fork(new URL(file, import.meta.url), [JSON.stringify(settings)], {
      // Few descriptors, so that they can be used up.
      execPath: 'sh',
      execArgv: ['-c', `ulimit -n ${DESCRIPTORS}; exec "$@"`, 'sh', process.execPath],
    });
    const entry = { child, kind: file, ended: once(child, 'exit'), ready: false };
    children.add(entry);
    let last;
    child.on('message', (message) => {
      if (message.ready) {
        entry.ready = true;
        if (stopping) stop(entry);
      }
      if (message.terminated) {
        dead.add(message.terminated);
        counts.terminated++;
      }
      if (message.counted) add(message.counted);
      if (message.left) last = message;
    });
    const [status, signal] = await entry.ended;
    children.delete(entry);
    clearTimeout(entry.patience);
    if (signal !== null || status !== 0) dead.add(id);
    if (signal === null && status !== 0) problems.push(`${file} ${child.pid} ended with ${status}`);
    forget(id);
    if (last) compare(child.pid, last);
  }
}

function add(more) {
  for (const [kind, times] of Object.entries(more)) counts[kind] = (counts[kind] ?? 0) + times;
}

function disturb() {
  const participants = [...children].filter(
    ({ kind, ready }) => ready && kind === 'participant.js',
  );
  if (participants.length === 0) return;
  const entry = chance.pick(participants);
  const { child } = entry;
  const kind = chance.next();
  if (kind < 0.1) {
    counts.ended++;
    stop(entry);
  } else if (kind < 0.55) {
    counts.killed++;
    child.kill('SIGKILL');
  } else {
    counts.stopped++;
    child.kill('SIGSTOP');
    setTimeout(() => child.kill('SIGCONT'), chance.below(300));
  }
}

function forget(id) {
  try {
    unlinkSync(join(directory, 'alive', id));
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function compare(pid, { before, left }) {
  if (isDeepStrictEqual(before, left)) return;
  problems.push(
    `participant ${pid} has left open ${JSON.stringify(left)}, and had ${JSON.stringify(before)} at first`,
  );
}

function waitingIn(pid) {
  try {
    return readFileSync(`/proc/${pid}/wchan`, 'utf8');
  } catch (error) {
    return error.code;
  }
}

async function report() {
  const total = { exclusive: 0, shared: 0 };
  const overlaps = told();
  for (const name of NAMES) {
    const found = await judge(join(directory, `${name}.log`), dead);
    total.exclusive += found.exclusive;
    total.shared += found.shared;
    overlaps.push(...found.problems.map((problem) => problem.replace(': ', `: ${name}: `)));
  }
  // A run that was cut short by what it found has not had its minutes.
  if (values.sabotage === undefined && overlaps.length + problems.length === 0) {
    problems.push(...missing(total, counts, minutes, EVENTS));
  }
  console.log(`chaos: ${total.exclusive} exclusive and ${total.shared} shared acquisitions`);
  console.log(`chaos: ${JSON.stringify(counts)}`);
  for (const problem of [...overlaps.slice(0, 10), ...problems]) console.log(`  ${problem}`);
  console.log(
    `chaos: ${overlaps.length} overlaps and lost updates, ${problems.length} other problems`,
  );
  const spoken = ['witness', 'counter', 'log'].filter((witness) =>
    overlaps.some((line) => line.startsWith(witness)),
  );
  if (values.sabotage) console.log(`chaos: two inside, told by: ${spoken.join(', ') || 'none'}`);
  const good =
    values.sabotage === undefined
      ? overlaps.length + problems.length === 0
      : spoken.length > 0 && WITNESSES[values.sabotage].every((one) => spoken.includes(one));
  console.log(good ? 'chaos: passed' : 'chaos: FAILED');
  process.exitCode = good ? 0 : 1;
}

/** What those inside have told so far. */
function told() {
  return readFileSync(join(directory, 'overlaps'), 'utf8').split('\n').slice(0, -1);
}
