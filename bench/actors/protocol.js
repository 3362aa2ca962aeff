// A process that answers each line on stdin with a line of JSON.
import { writeSync } from 'node:fs';

/** Nanoseconds of CLOCK_MONOTONIC, which all processes of the machine share. */
export const now = () => Number(process.hrtime.bigint());

export const answer = (value) => writeSync(1, `${JSON.stringify(value)}\n`);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `verbs`: functions that get the line's words; what they return is the answer. */
export function serve(verbs) {
  let rest = '';
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', async (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const [verb, ...words] = line.split(' ');
      const value = await verbs[verb](...words);
      if (value !== undefined) answer(value);
    }
  });
  process.stdin.on('end', () => process.exit());
}
