/**
 * What a library does with messages that are wrong: each comes from a peer as the reply to a call, or before it.
 */
import { randomBytes } from 'node:crypto';
import { Bytes, encodeFrame, FIELD, TYPE } from './frames.mjs';
import { refused, runTask, succeeded } from './run.mjs';
import { CLIENT_NAME, reply, replyFrame, startServer } from './server.mjs';

/** @typedef {import('./server.mjs').Received} Received */
/** @typedef {import('node:net').Socket} Socket */

const GOOD = new Bytes().u32(1).buffer;
const MB = 1e6;

/** A signal that is wrong in its header, then the right reply: what takes both has not refused. @param {(call: Received, socket: Socket) => Buffer} make */
function before(make) {
  return (/** @type {Received} */ call, /** @type {Socket} */ socket) => {
    socket.write(make(call, socket));
    reply(socket, call, 'u', GOOD);
  };
}

/** @param {Partial<import('./frames.mjs').Frame>} wrong */
function signal(wrong) {
  const fields = {
    path: '/a',
    interface: 'org.example.Test',
    member: 'Told',
    sender: ':1.5',
    destination: CLIENT_NAME,
  };
  return encodeFrame({ type: TYPE.signal, fields, ...wrong });
}

/** @param {string} without */
function signalWithout(without) {
  const all = {
    path: '/a',
    interface: 'org.example.Test',
    member: 'Told',
    sender: ':1.5',
    destination: CLIENT_NAME,
  };
  return signal({ fields: Object.fromEntries(Object.entries(all).filter(([name]) => name !== without)) });
}

/** @param {string} signature @param {(body: Bytes) => Bytes} write */
function body(signature, write) {
  return (/** @type {Received} */ call, /** @type {Socket} */ socket) =>
    reply(socket, call, signature, write(new Bytes()).buffer);
}

/** @param {number} depth */
function nestedVariants(depth) {
  const bytes = new Bytes();
  for (let level = 1; level < depth; level += 1) bytes.signature('v');
  return bytes.signature('y').u8(7);
}

/** @type {[string, (call: Received, socket: Socket) => void][]} */
const WRONG = [
  ['boolean of 2', body('b', (bytes) => bytes.u32(2))],
  ['string that is not UTF-8', body('s', (bytes) => bytes.string(Buffer.from([0x61, 0xff, 0x62])))],
  ['surrogate encoded as UTF-8', body('s', (bytes) => bytes.string(Buffer.from([0xed, 0xa0, 0x80])))],
  ['NUL in a string', body('s', (bytes) => bytes.string('a\0b'))],
  ['string without its NUL at the end', body('s', (bytes) => bytes.u32(1).u8(0x61, 0x62))],
  ['padding that is not zero', body('yu', (bytes) => bytes.u8(1).u32(2, 0xaa))],
  ['invalid object path', body('o', (bytes) => bytes.string('/a//b/'))],
  ['variant with two types', body('v', (bytes) => bytes.signature('yy').u8(1, 2))],
  ['invalid signature', body('g', (bytes) => bytes.signature('a{vs}'))],
  ['array that ends inside an element', body('au', (bytes) => bytes.u32(6).u32(1).u8(0, 0))],
  ['array that ends past the message', body('au', (bytes) => bytes.u32(400).u32(1))],
  ['70 variants in each other', body('v', () => nestedVariants(70))],
  ['bytes left over after the values', body('u', (bytes) => bytes.u32(1).u32(2))],
  ['body without a signature', (call, socket) => reply(socket, call, '', GOOD)],
  ['signal without a path', before(() => signalWithout('path'))],
  ['signal without a member', before(() => signalWithout('member'))],
  [
    'header field of the wrong type',
    before(() =>
      signal({
        moreFields: (header) => header.align(8).u8(FIELD.errorName).signature('u').u32(7),
      }),
    ),
  ],
  [
    'invalid interface in a header',
    before(() => signal({ fields: { path: '/a', interface: 'no dots', member: 'Told' } })),
  ],
  ['serial 0', before(() => signal({ serial: 0 }))],
  ['protocol version 2', before(() => signal({ version: 2 }))],
  ['message type 0', before(() => signal({ type: 0 }))],
];

/** @type {import('./run.mjs').Check[]} */
const refusals = WRONG.map(([feature, call]) => ({
  feature,
  foreign: true,
  run: (library) => ask(library, call).then(refused),
}));

/** @param {string} library @param {(call: Received, socket: Socket) => void} call @param {Parameters<typeof runTask>[3]} [options] */
async function ask(library, call, options) {
  const server = await startServer({ call });
  try {
    return await runTask(library, 'reading/ask', { address: server.address }, options);
  } finally {
    server.close();
  }
}

/** @param {import('./run.mjs').Outcome[]} outcomes the worst decides @returns {import('./run.mjs').Verdict} */
function refusedCheaply(outcomes) {
  const grown = Math.max(...outcomes.map((outcome) => outcome.grown ?? 0));
  const worst = outcomes.find(({ outcome }) => outcome !== 'error');
  const why = outcomes.map(({ outcome, text, grown: more }) => `${outcome} ${more} ${text ?? ''}`).join('; ');
  if (worst !== undefined) return { cell: worst.outcome === 'value' ? 'no' : worst.outcome, why };
  return { cell: grown < 50 * MB ? 'yes' : `takes ${Math.round(grown / MB)} MB`, why };
}

const FORGED = ['ay', 'ab', 'au', 'as', 'av', 'a(yy)', 'a{sv}', 'aau', 'ax'];

/** @type {import('./run.mjs').Check} */
const forgedArray = {
  feature: 'array of 2^26 bytes announced in a small message',
  foreign: true,
  async run(library) {
    const outcomes = [];
    for (const signature of FORGED) {
      const wrong = body(signature, (bytes) =>
        bytes
          .u32(2 ** 26)
          .align(8)
          .u8(...Buffer.alloc(24)),
      );
      outcomes.push(await ask(library, wrong));
    }
    return refusedCheaply(outcomes);
  },
};

/** @type {import('./run.mjs').Check} */
const promisedMessage = {
  feature: 'message of 2^27 + 1 bytes announced, then sent',
  foreign: true,
  async run(library) {
    const outcome = await ask(library, (call, socket) => {
      const frame = encodeFrame({ ...replyFrame(call, 'ay', Buffer.alloc(0)), bodyLength: 2 ** 27 + 1 });
      socket.write(frame);
      const chunk = randomBytes(2 ** 20);
      const more = (left = 100) => {
        if (left > 0 && !socket.destroyed) socket.write(chunk, () => more(left - 1));
      };
      more();
    });
    const grown = outcome.grown === undefined ? '' : `, ${outcome.grown} bytes`;
    return outcome.outcome === 'error'
      ? refusedCheaply([outcome])
      : {
          cell: outcome.outcome === 'hangs' ? 'no, waits for it' : outcome.outcome,
          why: `${outcome.text}${grown}`,
        };
  },
};

/** @type {import('./run.mjs').Check} */
const bigEndian = {
  feature: 'Reads big-endian messages',
  run: (library) =>
    ask(library, (call, socket) =>
      reply(socket, call, 'u', new Bytes(true).u32(0x01020304).buffer, { big: true }),
    ).then((outcome) => succeeded({ ...outcome, value: outcome.value === 0x01020304 || outcome.value })),
};

/** @param {Bytes} header */
const newField = (header) => void header.align(8).u8(200).signature('s').string('new');

/** @type {import('./run.mjs').Check} */
const unknownField = {
  feature: 'Ignores header fields and message types that are unknown',
  run: (library) =>
    ask(library, (call, socket) => {
      socket.write(signal({ type: 77 }));
      reply(socket, call, 'u', GOOD, { moreFields: newField });
    }).then((outcome) => succeeded({ ...outcome, value: outcome.value === 1 || outcome.value })),
};

export const READING = {
  title: 'Refuses what is wrong in a message',
  checks: [...refusals, forgedArray, promisedMessage],
};
export const COMPATIBLE = [bigEndian, unknownField];
