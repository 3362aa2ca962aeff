import { isVisible, terminate } from '../terminate.js';
import type { Call } from './args.js';
import { printError, printJson, printLine, warnIfPrivate } from './output.js';

const EXIT = { gone: 0, none: 1, running: 3, denied: 3 };

/** Exit status 0: gone, 1: none was running, 3: still running, or not permitted. */
export async function kill(call: Call): Promise<number> {
  const { name, force, timeout, location } = call;
  const { outcome, holders } = await terminate(name, { ...location, force, timeout });
  warnIfPrivate(call);
  const seen = holders.filter(isVisible).map((holder) => `PID ${holder.pid}`);
  const who = seen.join(', ') || 'the holder, which can not be seen from here';
  if (call.json) {
    printJson({ name, outcome, holders });
  } else if (outcome === 'gone') {
    printLine(`Application '${name}': stopped (${who})`);
  } else if (outcome === 'none') {
    printLine(`Application '${name}': NOT RUNNING`);
  } else if (outcome === 'denied') {
    printError(`Application '${name}': still running, this user may not signal ${who}`);
  } else {
    const advice = force ? '' : '; --force would send SIGKILL, which it can not ignore';
    printError(`Application '${name}': still running, ${who} did not stop${advice}`);
  }
  return EXIT[outcome];
}
