// Reads the log of a name and says whether two were ever inside at once, or an update was lost; and
// says of a whole run whether enough went on in it to show anything.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** Acquisitions a minute; ten times as many are seen where two cores have other work as well. */
const FLOOR = { exclusive: 1500, shared: 500 };

/**
 * @param {{ exclusive: number, shared: number }} acquisitions
 * @param {Record<string, number>} events how many there were of each kind
 * @param {number} minutes
 * @param {string[]} kinds what there is in a minute
 * @returns {string[]}
 */
export function missing(acquisitions, events, minutes, kinds) {
  const few = Object.entries(FLOOR)
    .filter(([kind, each]) => acquisitions[kind] < each * minutes)
    .map(([kind, each]) => `fewer than ${Math.ceil(each * minutes)} ${kind} acquisitions`);
  if (minutes < 1) return few;
  const none = kinds.filter((kind) => !(events[kind] > 0));
  return [...few, ...none.map((kind) => `nothing was counted as ${kind}`)];
}

/**
 * @param {string} file
 * @param {Set<string>} dead the participants that were killed or terminated; one that died inside
 *   leaves a begin without an end. No id is that of two: it would be taken for one that came back
 * @returns {Promise<{ exclusive: number, shared: number, problems: string[] }>}
 */
export async function judge(file, dead) {
  const open = new Map();
  const abandoned = new Set();
  const problems = [];
  let [exclusive, shared, last, unknown] = [0, 0, 0, 0];

  const leave = (kind) => {
    for (const [section, other] of open) {
      if (kind === 'b' && other.kind === 'b') continue;
      open.delete(section);
      if (!dead.has(other.id) && !dead.has(other.id.split('.')[0])) {
        problems.push(`log: line ${line}: ${section} was inside still`);
      }
      abandoned.add(section);
      if (other.kind === 'B') unknown++;
    }
  };

  let line = 0;
  for await (const text of createInterface({ input: createReadStream(file) })) {
    line++;
    const [kind, id, sequence, value] = text.split(' ');
    const section = `${id}/${sequence}`;
    if (kind === 'B' || kind === 'b') {
      if (kind === 'B') exclusive++;
      else shared++;
      leave(kind);
      open.set(section, { kind, id });
      continue;
    }
    if (abandoned.has(section)) problems.push(`log: line ${line}: ${section} was inside all along`);
    else if (!open.has(section)) problems.push(`log: line ${line}: ${section} never began`);
    open.delete(section);
    // One that was killed inside may or may not have counted. What is no number is no step.
    const step = Number(value || NaN) - last;
    const own = kind === 'E' ? 1 : 0;
    if (!(step >= own && step <= own + unknown)) {
      problems.push(`counter: line ${line}: ${value} came after ${last}`);
    }
    if (kind === 'e') continue;
    last = Number(value);
    unknown = 0;
  }
  return { exclusive, shared, problems };
}
