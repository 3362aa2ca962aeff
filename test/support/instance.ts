// Programs with a SingleInstance, from code that a test gives.
import { start } from './run.js';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGBREAK'];

// What every program can use.
const PRELUDE = `
  import { SingleInstance, tryLock } from '${new URL('../../dist/index.js', import.meta.url)}';
  const directory = process.argv[1];
  const options = { directory };
  const say = (text) => console.log(text);
  const never = new Promise(() => {});
  const line = () => new Promise((resolve) => process.stdin.once('data', resolve));
  const stayAlive = () => setInterval(() => {}, 60_000);
  const log = (kind) => (message) => say(kind + ': ' + message);
  const logger = { info: log('info'), warn: log('warn'), error: log('error') };
`;

/** Starts a program; its stdin is a pipe. */
export function program(directory: string, code: string, prefix: string[] = []) {
  const args = ['--input-type=module', '-e', `${PRELUDE}${code}`, directory, 'argument one'];
  const [command, ...rest] = [...prefix, process.execPath, ...args] as [string, ...string[]];
  return start(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
}

/** Starts a program and waits until it said `ready`, which each of them says at its end. */
export async function instance(directory: string, code: string) {
  const running = program(directory, `${code}; stayAlive(); say('ready');`);
  await running.says('ready\n');
  return running;
}

/** How many listen for each signal in this process. */
export const signalHandlers = () => SIGNALS.map((signal) => process.listenerCount(signal));
