import { stillThere } from '../postgres/terminate.js';
import { connect, type ServerOptions } from '../postgres.js';
import { isVisible, nameOf, notRunning, pids, printable, stillRunning } from '../report.js';
import { terminate } from '../terminate.js';
import type { Call } from './args.js';
import { printError, printJson, printLine, warnIfPrivate } from './output.js';
import { serverOf } from './server.js';

const EXIT = { gone: 0, none: 1, running: 3, denied: 3 };

/** Exit status 0: gone, 1: none was running, or none is known to be, 3: still running, or not permitted. */
export async function kill(call: Call): Promise<number> {
  const { name, force, timeout, location } = call;
  const server = serverOf(call);
  if (server !== undefined) return killOnServer(call, server);
  const termination = await terminate(name, { ...location, force, timeout });
  warnIfPrivate(call);
  const { outcome, holders, asked, remaining, refusals, successors, unknown } = termination;
  if (call.json) {
    const refused = [...refusals].map(([pid, { message }]) => ({ pid, message }));
    printJson({ name, outcome, holders, remaining, refused, successors, unknown });
  } else if (outcome === 'gone') {
    const who = pids(holders.filter(isVisible)) || 'the holder, which can not be seen from here';
    const how =
      asked.size > 0
        ? `stopped (${who})`
        : `not running any more (${who}, which was sent no signal)`;
    printLine(`Application '${name}': ${how}`);
    if (successors.length > 0) {
      printLine(`A new instance has started meanwhile, and was left alone (${pids(successors)})`);
    }
  } else if (outcome === 'none') {
    printLine(notRunning(name, unknown));
  } else {
    const why = stillRunning(termination, force, '--force');
    printError(`Application '${name}': still running; ${why}`);
  }
  return EXIT[outcome];
}

async function killOnServer(call: Call, server: ServerOptions): Promise<number> {
  const { name, timeout } = call;
  await using connection = await connect(server);
  const termination = await connection.terminate(name, { timeout });
  const { refusal, ...told } = termination;
  const { outcome, holders, remaining, successors } = told;
  const who = (those: typeof holders) => printable(those.map(nameOf).join(', '));
  if (call.json) {
    const message = refusal?.message;
    const denied = outcome === 'denied' ? remaining : [];
    const refused = denied.map(({ backendPid }) => ({ backendPid, message }));
    printJson({ name, ...told, refused });
  } else if (outcome === 'gone') {
    printLine(`Application '${name}': its session was ended (${who(holders)})`);
    printLine('The program itself was sent no signal; it learns that it has lost the lock');
    if (successors.length > 0) {
      printLine(`Another one has the lock by now, and was left alone (${who(successors)})`);
    }
  } else if (outcome === 'none') {
    printLine(`Application '${name}': NOT RUNNING`);
  } else {
    const why = stillThere(termination);
    printError(`Application '${name}': still running (${who(remaining)}); ${why}`);
  }
  return EXIT[outcome];
}
