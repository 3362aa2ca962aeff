// The figures as text.
import { judged } from './verdict.js';

/** Three significant digits, as people read them. */
export function figure(value) {
  if (value === undefined || Number.isNaN(value)) return '';
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en');
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 4);
}

export function rowText({ title, unit, measures, lines, verdicts, skipped }) {
  const head = ['', 'median', 'p99', 'ratio', ''];
  const cells = lines.map((line) => [
    line.who,
    `${figure(line.median)} ${line.unit ?? unit}`.trim(),
    line.p99 === undefined ? '' : `${figure(line.p99)} ${line.unit ?? unit}`,
    line.ratio === undefined ? '' : `${figure(line.ratio)}×`,
    line.samples === undefined ? '' : `n ${figure(line.samples)}`,
  ]);
  const text = ['', title, ...wrap(measures), ...columns([head, ...cells])];
  for (const verdict of judged(verdicts, 'target')) text.push(`  ${verdictText(verdict)}`);
  for (const reason of skipped) text.push(`  – ${reason}`);
  return text.join('\n');
}

export function verdictText({ what, value, unit, sign, target, met }) {
  const outcome = met ? 'met' : 'MISSED';
  return `${outcome.padEnd(7)}${what}: ${figure(value)} ${unit}, wanted ${sign} ${figure(target)}`;
}

export function checkText({ what, value, unit, sign, roomy, near }) {
  const outcome = near ? 'ok' : 'FAILED';
  return `${outcome.padEnd(7)}${what}: ${figure(value)} ${unit}, wanted ${sign} ${figure(roomy)}`;
}

export function machineText(machine) {
  const { processor, cores, memoryGiB, kernel, node, fileSystem, date, commit } = machine;
  return (
    `${processor}, ${cores} cores, ${memoryGiB} GiB · ${kernel} · Node ${node} · ${fileSystem} · ` +
    `${date.slice(0, 10)} · commit ${commit}`
  );
}

function columns(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) =>
    `  ${row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')}`.trimEnd(),
  );
}

function wrap(text, width = 96) {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1).length + word.length > width) lines.push('');
    lines[lines.length - 1] += `${lines.at(-1) === '' ? '' : ' '}${word}`;
  }
  return lines.map((line) => `  ${line}`);
}
