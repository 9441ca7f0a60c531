/**
 * The figures as a page: `bench/RESULTS.md` is what this writes and nothing else.
 */
import { cpus, totalmem } from 'node:os';

/**
 * @typedef {object} Table
 * @property {string} title
 * @property {string[]} columns
 * @property {string[][]} rows
 */

/**
 * A figure that was asked for, beside the one that was measured.
 * @typedef {object} Asked
 * @property {string} what
 * @property {string} asked
 * @property {string} measured
 * @property {boolean | undefined} reached undefined where it was not measured
 */

/**
 * @typedef {object} Group
 * @property {string} title
 * @property {string} how it is measured, and what the figures mean
 * @property {Table[]} tables
 * @property {Asked[]} asked
 * @property {unknown} data the figures themselves, for `--json`
 */

/** @param {string} text */
function cell(text) {
  return text.replaceAll('|', '\\|');
}

/** @param {readonly string[]} columns @param {readonly (readonly string[])[]} rows */
function formatTable(columns, rows) {
  const lines = [columns, columns.map((_, index) => (index === 0 ? '---' : '---:')), ...rows];
  return lines.map((line) => `| ${line.map(cell).join(' | ')} |`).join('\n');
}

/** @param {Asked} asked */
function verdict({ reached }) {
  if (reached === undefined) return 'not measured';
  return reached ? 'yes' : '**no**';
}

/** @param {Group} group */
export function formatGroup({ title, how, tables, asked }) {
  const parts = [`## ${title}`, how];
  for (const table of tables) parts.push(`### ${table.title}`, formatTable(table.columns, table.rows));
  if (asked.length > 0) {
    const rows = asked.map((one) => [one.what, one.asked, one.measured, verdict(one)]);
    parts.push('### Asked', formatTable(['', 'asked', 'measured', 'reached'], rows));
  }
  return parts.join('\n\n');
}

/** One line on what the figures were measured with. @param {readonly { name: string, version: string }[]} libraries */
export function describeMachine(libraries) {
  const [first] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const versions = libraries.map(({ name, version }) => `${name} ${version}`).join(', ');
  return [
    `Node ${process.version}; ${cpus().length} × ${first?.model ?? 'unknown processor'}, ${memory} GiB; ${process.platform} ${process.arch}.`,
    `Beside ${versions}.`,
  ].join(' ');
}

/**
 * The whole page.
 * @param {readonly Group[]} groups
 * @param {readonly { name: string, version: string }[]} libraries
 * @param {Date} date of the run: libraries change, and a figure without a date is taken for one of today
 */
export function formatReport(groups, libraries, date) {
  const all = groups.flatMap(({ asked }) => asked);
  const missed = all.filter(({ reached }) => reached !== true);
  const summary =
    missed.length === 0
      ? `All ${all.length} figures that were asked for are reached.`
      : `Of ${all.length} figures that were asked for, ${all.length - missed.length} are reached. Not reached: ${missed.map(({ what, measured }) => `${what} (${measured})`).join('; ')}.`;
  const head = [
    '# Figures beside other libraries',
    '<!-- Written by `npm run bench:compare -- --write`. Do not edit. -->',
    `Measured on ${date.toISOString().slice(0, 10)}. ${describeMachine(libraries)}`,
    'Times hang on the machine and on what else it does; ratios of one run hardly do. `npm run bench:compare` measures all of this again, `-- --write` writes this page.',
    summary,
  ];
  return `${[...head, ...groups.map(formatGroup)].join('\n\n')}\n`;
}
