/**
 * What each library can do, found out by asking it: every cell of the tables is what a program saw. `node features.mjs` prints
 * them as Markdown; `--write` puts them into docs/wire.md; `--why` tells what each cell rests on.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BUS, closeSharedBus } from './features/bus.mjs';
import { CONNECTION } from './features/connection.mjs';
import { PACKAGE } from './features/packages.mjs';
import { READING } from './features/reading.mjs';
import { JAVASCRIPT, PYTHON } from './features/run.mjs';
import { PEERS, SERVICE } from './features/service.mjs';
import { AUTHENTICATION, TRANSPORTS } from './features/transports.mjs';
import { VALUES, WRITING } from './features/values.mjs';

const PAGE = fileURLToPath(new URL('../../docs/wire.md', import.meta.url));
const START = '<!-- features -->';
const END = '<!-- /features -->';
const AREAS = [
  READING,
  WRITING,
  VALUES,
  CONNECTION,
  BUS,
  SERVICE,
  PEERS,
  TRANSPORTS,
  AUTHENTICATION,
  PACKAGE,
];

/** @typedef {import('./features/run.mjs').Check} Check */
/** @typedef {import('./features/run.mjs').Verdict} Verdict */
/** @typedef {{ area: string, feature: string, verdicts: Record<string, Verdict> }} Row */

const HOW = `Each cell is what a program saw when it asked the library, in a process of its own, under Node ${process.versions.node}: \`npm run bench:compare -- --only features\` asks
again. *Hangs* is a promise that never settles, *crashes* an exception that no caller can catch. Of each library the way that
its documents show is taken, with the options that serve it best. A feature that a library has no way to is a *no* only if
the word for it is nowhere in its files.`;

/** @param {Check} check @param {string} library @returns {Promise<Verdict>} */
async function verdictOf(check, library) {
  const verdict = await check.run(library);
  // Once more, lest it was the machine that was slow.
  return verdict.cell === 'hangs' ? check.run(library) : verdict;
}

/** @param {{ title: string, checks: Check[] }} area @returns {Promise<Row[]>} */
async function rowsOf({ title, checks }) {
  /** @type {Row[]} */
  const rows = [];
  for (const check of checks) {
    const libraries = check.foreign ? [...JAVASCRIPT, ...PYTHON] : JAVASCRIPT;
    const entries = libraries.map(async (library) => [library, await verdictOf(check, library)]);
    rows.push({
      area: title,
      feature: check.feature,
      verdicts: Object.fromEntries(await Promise.all(entries)),
    });
  }
  return rows;
}

/** @param {string} text */
const capitalized = (text) => text.replace(/^[a-z]/, (letter) => letter.toUpperCase());

/** @param {Row[]} rows @returns {import('./report.mjs').Table} */
function tableOf(rows) {
  const foreign = rows.some(({ verdicts }) => PYTHON.some((library) => verdicts[library] !== undefined));
  const libraries = foreign ? [...JAVASCRIPT, ...PYTHON] : JAVASCRIPT;
  return {
    title: rows[0]?.area ?? '',
    columns: ['', ...libraries],
    rows: rows.map(({ feature, verdicts }) => [
      capitalized(feature),
      ...libraries.map((library) => verdicts[library]?.cell ?? ''),
    ]),
  };
}

/** @returns {Promise<Row[]>} */
async function allRows() {
  try {
    const areas = [];
    for (const area of AREAS) areas.push(await rowsOf(area));
    return areas.flat();
  } finally {
    await closeSharedBus();
  }
}

/** @param {Row[]} rows @returns {import('./report.mjs').Table[]} */
function tablesOf(rows) {
  return AREAS.map(({ title }) => tableOf(rows.filter(({ area }) => area === title)));
}

/** @returns {Promise<import('./report.mjs').Group[]>} */
export async function features() {
  const rows = await allRows();
  return [{ title: 'Features', how: HOW, tables: tablesOf(rows), asked: [], data: rows }];
}

/** @param {import('./report.mjs').Table} table */
function formatTable({ title, columns, rows }) {
  const lines = [columns, columns.map(() => '---'), ...rows];
  const text = lines
    .map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
  return `### ${title}\n\n${text}\n`;
}

/** @param {string} text the tables */
function writePage(text) {
  const page = readFileSync(PAGE, 'utf8');
  const [start, end] = [page.indexOf(START), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${PAGE} has no ${START} … ${END}`);
  writeFileSync(PAGE, `${page.slice(0, start + START.length)}\n\n${text}\n${page.slice(end)}`);
}

/** @param {Row[]} rows */
function explain(rows) {
  for (const { feature, verdicts } of rows)
    for (const [library, { cell, why = '' }] of Object.entries(verdicts))
      console.error(`${feature} · ${library}: ${cell} · ${why.replaceAll(/\s+/g, ' ').slice(0, 300)}`);
}

async function main() {
  const { values } = parseArgs({
    options: { write: { type: 'boolean', default: false }, why: { type: 'boolean', default: false } },
  });
  const rows = await allRows();
  const text = `${HOW}\n\n${tablesOf(rows).map(formatTable).join('\n')}`;
  console.log(text);
  if (values.why) explain(rows);
  if (values.write) writePage(text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
