/**
 * One library as a client of the Secret Service, in a process of its own: `node secret-child.mjs LIBRARY SERVICE COUNT`, where
 * COUNT items are stored for SERVICE as `secret/fixtures.mjs` says. Reads lines from its input and answers each with one line
 * of JSON, as `secret/secretstorage_child.py` does:
 *
 *   get WINDOW MS         gets one secret after the other with WINDOW at a time, for about MS milliseconds
 *   set MS                sets secrets of a service of its own, one at a time
 *   find MS               finds all secrets of SERVICE with the account of each
 *   read MS               finds them with the label of each too
 *   write JSON            stores `{service, account, secret}`, or `{attributes, secret}`; answers `{}`
 *   look JSON             answers `{secret}` for `{service, account}` or `{attributes}`
 *
 * The first four answer `{count, wall, cpu}`: operations, and nanoseconds of time and of the process's own CPU time, user and
 * system, of all its threads. Everything that is read is compared with what is stored. The process ends with its input.
 */
import { answerLines, measured } from './child.mjs';
import { CLIENTS } from './secret/clients.mjs';
import { accountOf, labelOf, secretOf } from './secret/fixtures.mjs';

/** Accounts that `set` writes to in turn: each is there after the first turn, as it is where a program renews a secret. */
const ACCOUNTS_TO_SET = 20;

const [library = '', service = '', countText] = process.argv.slice(2);
const itemCount = Number(countText);
const open = CLIENTS[library];
if (open === undefined || !(itemCount > 0)) throw new Error('usage: secret-child.mjs LIBRARY SERVICE COUNT');
const client = await open();

/** @template T @param {T | undefined} able @returns {T} */
function can(able) {
  if (able === undefined) throw new Error(`${library} cannot do that`);
  return able;
}

/** Runs `work` again and again, `window` at a time. @param {(index: number) => Promise<void>} work @param {number} window @param {number} timeMs */
async function repeat(work, window, timeMs) {
  const end = performance.now() + timeMs;
  let count = 0;
  const worker = async () => {
    do {
      const index = count;
      count += 1;
      await work(index);
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: window }, worker));
  return { count };
}

/** @param {number} index */
async function getOne(index) {
  const account = accountOf(index % itemCount);
  const secret = await can(client.get)(service, account);
  if (secret !== secretOf(account)) throw new Error(`${library} read something else for ${account}`);
}

/** @param {number} index */
async function setOne(index) {
  const account = accountOf(index % ACCOUNTS_TO_SET);
  await can(client.set)(`${service}, set by ${library}`, account, `${secretOf(account)}, ${index}`);
}

/** Each of the secrets once; accounts and labels as they belong to them, where the library gives them. @param {readonly import('./secret/clients.mjs').Found[]} found */
function checkAll(found) {
  const wanted = new Map(
    Array.from({ length: itemCount }, (_, index) => [secretOf(accountOf(index)), accountOf(index)]),
  );
  for (const { account, label, secret } of found) {
    const stored = wanted.get(secret);
    const isWrong =
      stored === undefined ||
      (account !== undefined && account !== stored) ||
      (label !== undefined && label !== labelOf({ service, account: stored }));
    if (isWrong) throw new Error(`${library} found something else for ${account ?? 'an account'}`);
    wanted.delete(secret);
  }
  if (wanted.size > 0) throw new Error(`${library} left out ${wanted.size} secrets`);
}

/** @typedef {{ service: string, account: string, attributes?: Record<string, string>, secret: string }} Stored */

/** @param {Stored} stored */
async function write({ service: name, account, attributes, secret }) {
  if (attributes === undefined) await can(client.set)(name, account, secret);
  else await can(client.store)(attributes, secret);
  return {};
}

/** @param {Stored} stored */
async function look({ service: name, account, attributes }) {
  const secret = attributes === undefined ? can(client.get)(name, account) : can(client.lookup)(attributes);
  return { secret: await secret };
}

await answerLines((line) => {
  const [, command = '', rest = ''] = /^(\w+) (.*)$/.exec(line) ?? [];
  if (command === 'write') return write(JSON.parse(rest));
  if (command === 'look') return look(JSON.parse(rest));
  const [one = 0, two = 0] = rest.split(' ').map(Number);
  if (command === 'get') return measured(() => repeat(getOne, one, two));
  if (command === 'set') return measured(() => repeat(setOne, 1, one));
  if (command === 'find')
    return measured(() => repeat(async () => checkAll(await can(client.find)(service)), 1, one));
  if (command === 'read')
    return measured(() => repeat(async () => checkAll(await can(client.read)(service)), 1, one));
  throw new Error(`unknown command: ${line}`);
});
process.exit(0);
