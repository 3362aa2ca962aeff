// The figures as a picture: one panel of bars for each row that compares, on a log scale.
import { figure, machineText } from './table.js';

const WIDTH = 760;
const LABEL = 230;
const VALUE = 110;
const BAR = 18;
const STEP = 26;
const PANELS = ['cycle', 'hand-over', 'waiters', 'many', 'import', 'run'];
const COMPARED = /^(?!heap|import\(|resident|of it)/;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .small { font-size: 11px; fill: #59636e }
  .own { fill: #1a7f37 } .floor { fill: #59636e } .peer { fill: #bc6a00 }
  .axis { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } .axis { stroke: #3d444d }
    .own { fill: #3fb950 } .floor { fill: #9198a1 } .peer { fill: #e3a042 }
  }`;

/** An SVG of the results' rows, for light and dark backgrounds. */
export function drawPicture({ machine, rows }) {
  const parts = [];
  let y = 8;
  for (const id of PANELS) {
    const row = rows.find((one) => one.id === id);
    if (row === undefined) continue;
    const panel = drawPanel(row, y);
    parts.push(panel.svg);
    y = panel.bottom + 18;
  }
  const [first, ...rest] = machineText(machine).split(' · ');
  parts.push(text(12, y + 4, first, 'small'), text(12, y + 20, rest.join(' · '), 'small'));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 32}" role="img">
<title>kernel-lock measured against the system calls and its peers</title>
<style>${STYLE}
</style>
${parts.join('\n')}
</svg>
`;
}

function drawPanel({ title, unit, lines }, top) {
  const bars = lines.filter(({ who }) => COMPARED.test(who));
  const values = bars.map(({ median }) => median);
  const scale = scaleFor(values);
  const room = WIDTH - LABEL - VALUE;
  const named = `${title}, median${scale.logarithmic ? ' (log scale)' : ''}`;
  const svg = [text(12, top + 16, named, 'title')];
  let y = top + 28;
  const bottom = y + bars.length * STEP;
  svg.push(`<line class="axis" x1="${LABEL}" y1="${y}" x2="${LABEL}" y2="${bottom}"/>`);
  for (const { who, median } of bars) {
    const length = Math.max(2, Math.round(scale.share(median) * room));
    const kind = kindOf(who);
    svg.push(
      text(LABEL - 8, y + 15, who, '', 'end'),
      `<rect class="${kind}" x="${LABEL}" y="${y + 2}" width="${length}" height="${BAR}" rx="2"/>`,
      text(LABEL + length + 6, y + 15, `${figure(median)} ${unit}`),
    );
    y += STEP;
  }
  return { svg: svg.join('\n'), bottom };
}

// Bars that differ more than tenfold would hide the small ones.
function scaleFor(values) {
  const most = Math.max(...values);
  const least = Math.min(...values);
  if (most < least * 10) return { logarithmic: false, share: (value) => value / most };
  const from = Math.log10(least / 2);
  const span = Math.log10(most) - from;
  return { logarithmic: true, share: (value) => (Math.log10(value) - from) / span };
}

function kindOf(who) {
  if (/kernel-lock|^one process|^Node processes|^among|^import/.test(who)) return 'own';
  return /floor|^C processes|^empty|^node/.test(who) ? 'floor' : 'peer';
}

function text(x, y, content, kind = '', anchor = 'start') {
  const escaped = content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const style = kind === '' ? '' : ` class="${kind}"`;
  return `<text${style} x="${x}" y="${y}" text-anchor="${anchor}">${escaped}</text>`;
}
