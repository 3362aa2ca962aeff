// Reads the log of a name and says whether two were ever inside at once, or an update was lost.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * @param {string} file
 * @param {Set<string>} dead the participants that were killed or terminated; one that died inside
 *   leaves a begin without an end
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
        problems.push(`line ${line}: ${section} was inside still`);
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
    if (abandoned.has(section)) problems.push(`line ${line}: ${section} was inside all along`);
    open.delete(section);
    if (kind === 'e') continue;
    // One that was killed inside may or may not have counted.
    const step = Number(value) - last;
    if (step < 1 || step > 1 + unknown) problems.push(`line ${line}: ${value} came after ${last}`);
    last = Number(value);
    unknown = 0;
  }
  return { exclusive, shared, problems };
}
