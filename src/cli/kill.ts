import { isVisible, pids, stillRunning } from '../report.js';
import { terminate } from '../terminate.js';
import type { Call } from './args.js';
import { printError, printJson, printLine, warnIfPrivate } from './output.js';

const EXIT = { gone: 0, none: 1, running: 3, denied: 3 };

/** Exit status 0: gone, 1: none was running, 3: still running, or not permitted. */
export async function kill(call: Call): Promise<number> {
  const { name, force, timeout, location } = call;
  const termination = await terminate(name, { ...location, force, timeout });
  warnIfPrivate(call);
  const { outcome, holders, remaining, refusals, successors } = termination;
  if (call.json) {
    const refused = [...refusals].map(([pid, { message }]) => ({ pid, message }));
    printJson({ name, outcome, holders, remaining, refused, successors });
  } else if (outcome === 'gone') {
    const who = pids(holders.filter(isVisible)) || 'the holder, which can not be seen from here';
    printLine(`Application '${name}': stopped (${who})`);
    if (successors.length > 0) {
      printLine(`A new instance has started meanwhile, and was left alone (${pids(successors)})`);
    }
  } else if (outcome === 'none') {
    printLine(`Application '${name}': NOT RUNNING`);
  } else {
    const why = stillRunning(termination, force, '--force');
    printError(`Application '${name}': still running; ${why}`);
  }
  return EXIT[outcome];
}
