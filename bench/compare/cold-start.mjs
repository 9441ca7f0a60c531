/**
 * Cold start: from the start of a process to a secret in hand, by programs that are one bundled file, beside a program that
 * does nothing; and what it costs to open an encrypted session.
 *
 * All programs are started one after the other in each round, in an order that turns by one, on one private bus with a GNOME
 * Keyring; what is compared are the times of one round.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { Running } from './peers.mjs';
import { attributesForAll, secretOf } from './secret/fixtures.mjs';
import {
  ACCOUNT,
  EMPTY,
  makePrograms,
  NAPI,
  ONE_WRITE,
  OURS_CJS,
  OURS_ESM,
  SERVICE,
} from './secret/programs.mjs';
import { measureSessions } from './secret/sessions.mjs';
import { formatBytes, formatMilliseconds, formatSpread, median } from './statistics.mjs';

const MOST_OVER_NODE_MS = 20;

/** @typedef {import('./secret/programs.mjs').Program} Program */
/** Of each round, nanoseconds to the first byte written and to the end. @typedef {{ inHand: number[], ended: number[] }} Times */

/** Runs a program once. @param {Program} program @param {NodeJS.ProcessEnv} env */
async function runOnce({ name, argv: [program = '', ...parameters], output: wanted }, env) {
  const before = process.hrtime.bigint();
  const child = spawn(program, parameters, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let inHand = 0;
  let output = '';
  child.stdout.on('data', (chunk) => {
    if (inHand === 0) inHand = Number(process.hrtime.bigint() - before);
    output += chunk;
  });
  let ended = 0;
  child.once('exit', () => {
    ended = Number(process.hrtime.bigint() - before);
  });
  const [status] = await once(child, 'close');
  if (status !== 0 || output !== wanted) throw new Error(`${name} did not get the secret`);
  return { inHand, ended };
}

/** @param {readonly Program[]} programs @param {NodeJS.ProcessEnv} env @param {number} rounds */
async function runAll(programs, env, rounds) {
  /** @type {Map<string, Times>} */
  const times = new Map(programs.map(({ name }) => [name, { inHand: [], ended: [] }]));
  // The first round reads the files of the programs from the disk.
  for (let round = -1; round < rounds; round += 1) {
    for (let index = 0; index < programs.length; index += 1) {
      const program = /** @type {Program} */ (programs[(index + round + 1) % programs.length]);
      const { inHand, ended } = await runOnce(program, env);
      if (round < 0) continue;
      times.get(program.name)?.inHand.push(inHand);
      times.get(program.name)?.ended.push(ended);
    }
  }
  return times;
}

/** What is more in each round. @param {readonly number[]} ours @param {readonly number[]} theirs */
function differences(ours, theirs) {
  return ours.map((time, round) => time - /** @type {number} */ (theirs[round]));
}

/** @param {ReadonlyMap<string, Times>} times @param {string} name */
function timesOf(times, name) {
  return /** @type {Times} */ (times.get(name));
}

/** @param {readonly Program[]} programs @param {ReadonlyMap<string, Times>} times @returns {import('./report.mjs').Group} */
function startGroup(programs, times) {
  const [node, empty] = [timesOf(times, ONE_WRITE), timesOf(times, EMPTY)];
  const rows = programs.map(({ name, byteLength }) => {
    const { inHand, ended } = timesOf(times, name);
    return [
      name,
      byteLength === undefined ? '' : formatBytes(byteLength),
      name === EMPTY ? '' : formatMilliseconds(inHand),
      name === EMPTY || name === ONE_WRITE ? '' : formatMilliseconds(differences(inHand, node.inHand)),
      formatMilliseconds(ended),
      name === EMPTY ? '' : formatMilliseconds(differences(ended, empty.ended)),
    ];
  });
  const ours = [OURS_ESM, OURS_CJS].toSorted(
    (one, other) => median(timesOf(times, one).inHand) - median(timesOf(times, other).inHand),
  )[0];
  const { inHand } = timesOf(times, /** @type {string} */ (ours));
  const over = differences(inHand, node.inHand);
  const ratios = timesOf(times, NAPI).inHand.map(
    (time, round) => time / /** @type {number} */ (inHand[round]),
  );
  return {
    title: 'Cold start',
    how: `From the start of a process until it has written a secret, and until it has ended; ${inHand.length} rounds of all programs, the order turning by one each round, medians with the middle half in brackets; what is more than Node's own time is taken round by round. Each program is one file, bundled by esbuild and minified, beside it the addon of those that need one; secretbus opens an encrypted session, and ends it before it ends itself. SecretStorage is a script of one page, and secret-tool the program of libsecret.`,
    tables: [
      {
        title: 'Process start to secret in hand',
        columns: ['', 'files', 'secret in hand', `more than ${ONE_WRITE}`, 'ended', `more than ${EMPTY}`],
        rows,
      },
    ],
    asked: [
      {
        what: `secret in hand: ${ours}, more than ${ONE_WRITE}`,
        asked: `≤ ${MOST_OVER_NODE_MS} ms`,
        measured: formatMilliseconds(over),
        reached: median(over) <= MOST_OVER_NODE_MS * 1e6,
      },
      {
        what: `secret in hand: time of ${NAPI} to ${ours}`,
        asked: '≥ 1 ×',
        measured: formatSpread(ratios),
        reached: median(ratios) >= 1,
      },
    ],
    data: Object.fromEntries(times),
  };
}

/** Stores the secret that all programs get. @param {NodeJS.ProcessEnv} env */
async function storeSecret(env) {
  const child = fileURLToPath(new URL('secret-child.mjs', import.meta.url));
  const writer = new Running(
    { name: 'secretbus', argv: [process.execPath, child, 'secretbus', SERVICE, '1'] },
    env,
  );
  const stored = { attributes: attributesForAll(SERVICE, ACCOUNT), secret: secretOf(ACCOUNT) };
  try {
    await writer.ask(`write ${JSON.stringify(stored)}`);
  } finally {
    await writer.close();
  }
}

/** @param {number} timeMs the more, the more rounds @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureColdStart(timeMs) {
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-cold-start-'));
  const keyring = await startPrivateKeyring();
  try {
    await storeSecret(keyring.env);
    const programs = await makePrograms(folder);
    const rounds = Math.max(5, Math.round(timeMs / 6));
    const times = await runAll(programs, keyring.env, rounds);
    return [startGroup(programs, times), await measureSessions(keyring.address)];
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await keyring.close();
  }
}
