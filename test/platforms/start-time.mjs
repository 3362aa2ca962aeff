import { readFileSync } from 'node:fs';

/** When the process started, as Linux has it (the 22nd field); null on other systems. */
export function startTimeOf(pid) {
  if (process.platform !== 'linux') return null;
  const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1);
  return afterName.split(' ')[19];
}
