/**
 * Writes to a file of the sstash format, by secretbus and by what Python's sstash does.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, PYTHON_LIBRARIES, PYTHONS } from '../../../scripts/lib/programs.mjs';
import { judgeRatios, measureRounds, OURS, Running, ratiosTo, tableOf, toJson } from '../peers.mjs';
import { keyOf, operationsFor } from './fixtures.mjs';

const ENTRIES = 10_000;
const ROUNDS = 5;
const WARM_UP_MS = 300;
const AT_LEAST = 5;
const PASSWORD = 'a password for the benchmark';
const NODE_CHILD = fileURLToPath(new URL('sstash-child.mjs', import.meta.url));
const PYTHON_CHILD = fileURLToPath(new URL('sstash_child.py', import.meta.url));
const WAYS = {
  sstash: 'Python, as sstash',
  unchecked: 'Python, contents unchecked',
  derived: 'Python, key derived for each',
};

/** The Pythons that have what is needed, with the ways they can go; said on the error output where none has it. */
function findPython() {
  for (const name of PYTHONS) {
    const program = name.startsWith('/') ? name : findProgram(name);
    if (program === undefined) continue;
    /** @param {string} code */
    const runs = (code) => spawnSync(program, ['-c', code]).status === 0;
    if (!runs(PYTHON_LIBRARIES.PyNaCl.code)) continue;
    if (runs('import jsonschema')) return { program, ways: Object.entries(WAYS) };
    console.warn(
      '!! jsonschema for Python is missing: sstash is measured without its checks. On Debian: apt-get install python3-jsonschema',
    );
    return { program, ways: Object.entries(WAYS).filter(([way]) => way === 'unchecked') };
  }
  console.warn(
    '!! Python is left out: PyNaCl is missing. On Debian: apt-get install python3-nacl python3-jsonschema',
  );
  return undefined;
}

async function loadSecureStash() {
  const entry = new URL('../../../dist/stash/index.js', import.meta.url).href;
  const { SecureStash } = /** @type {typeof import('secretbus/stash')} */ (await import(entry));
  return SecureStash;
}

/** Throws unless the file holds what a peer wrote last. @param {string} path @param {number} written */
async function checkFile(path, written) {
  const reader = await (await loadSecureStash()).open(path, { password: PASSWORD });
  const value = await reader.read(keyOf(0));
  await reader.close();
  if (BigInt(`0x${Buffer.from(value).toString('hex')}`) !== BigInt(written))
    throw new Error(`${path} does not hold what was written last`);
}

/** @param {string} folder for the files @param {number} timeMs of one peer in one round @returns {Promise<import('../report.mjs').Group>} */
export async function measureSstash(folder, timeMs) {
  const made = join(folder, 'made.sstash');
  const stash = await (await loadSecureStash()).open(made, { password: PASSWORD, create: true });
  await stash.batch(operationsFor(0, ENTRIES));
  await stash.close();
  /** @param {string} name */
  const pathFor = (name) => join(folder, `${name.replaceAll(/\W+/g, '-')}.sstash`);
  const peers = [{ name: OURS, argv: [process.execPath, NODE_CHILD, pathFor(OURS), PASSWORD] }];
  const python = findPython();
  for (const [way, name] of python?.ways ?? []) {
    const argv = [python?.program ?? '', PYTHON_CHILD, way, pathFor(name), PASSWORD, ...keyOf(0)];
    peers.push({ name, argv });
  }
  for (const { name } of peers) copyFileSync(made, pathFor(name));
  const running = peers.map((peer) => new Running(peer));
  /** @type {import('../peers.mjs').Measured} */
  const measured = {
    command: 'write',
    title: `A write to a file of ${ENTRIES.toLocaleString('en')} entries`,
    series: new Map(),
  };
  try {
    await measureRounds(running, [measured], { timeMs, warmUpMs: WARM_UP_MS, rounds: ROUNDS });
    for (const one of running) await checkFile(pathFor(one.peer.name), (await one.ask('written')).written);
  } finally {
    await Promise.all(running.map((one) => one.close()));
  }
  return {
    title: 'The sstash format',
    how: `A value of 32 bytes written again and again, one at a time, on ${ROUNDS} rounds; in all ways the whole file is written for each. The Python processes do what sstash 0.17 does with the libraries it takes. As a program that keeps a handle does, the key is derived once by secretbus and by ${WAYS.sstash}; the latter checks the contents by jsonschema twice for each write, as secretbus does by its parser. ${WAYS.unchecked} is the same without these checks, which sstash has no switch for; ${WAYS.derived} opens a handle for each write, as its command line does. secretbus waits for the disk, twice, and replaces the file; Python writes over it in place and does not wait. After the run secretbus reads what each has written.`,
    tables: [tableOf(measured)],
    asked: [
      judgeRatios(
        `${measured.title}: time of ${WAYS.sstash} to ours`,
        ratiosTo(measured, 'wall', WAYS.sstash),
        AT_LEAST,
      ),
    ],
    data: toJson([measured]),
  };
}
