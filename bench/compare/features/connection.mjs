/**
 * What becomes of a connection and of the calls on it when the peer misbehaves, and how it ends.
 */
import { Bytes, encodeFrame } from './frames.mjs';
import { absent, JAVASCRIPT, refused, runTask, succeeded } from './run.mjs';
import { reply, replyFrame, startServer } from './server.mjs';

/** @typedef {import('./run.mjs').Verdict} Verdict */

/** The same in each run. */
const GARBAGE = Buffer.from(
  [...Array(500).keys()].map((index) => ((index * 167 + 129) % 256) | 128).concat(13, 10),
);
const ONE = new Bytes().u32(1).buffer;
const TWO = new Bytes().u32(2).buffer;

/** @param {string} library @param {string} task @param {import('./server.mjs').Script} script @param {Record<string, unknown>} [parameters] */
async function against(library, task, script, parameters = {}) {
  const server = await startServer(script);
  try {
    const foreign = !JAVASCRIPT.includes(library);
    return await runTask(library, foreign ? '' : `connection/${task}`, {
      address: server.address,
      ...parameters,
    });
  } finally {
    server.close();
  }
}

/**
 * @param {string} feature @param {string} task @param {import('./server.mjs').Script} script
 * @param {{ parameters?: Record<string, unknown>, foreign?: boolean, lacks?: RegExp }} [options] `lacks`: the word that the
 * files of a library without the feature do not have
 * @returns {import('./run.mjs').Check}
 */
function ends(feature, task, script, { parameters = {}, foreign = false, lacks } = {}) {
  return {
    feature,
    foreign,
    async run(library) {
      const outcome = await against(library, task, script, parameters);
      if (outcome.outcome === 'missing' && lacks !== undefined) return absent(library, lacks);
      return refused(outcome);
    },
  };
}

/** @param {import('node:net').Socket} socket @param {() => Buffer} chunk @param {number} count */
function flood(socket, chunk, count) {
  if (count > 0 && !socket.destroyed) socket.write(chunk(), () => flood(socket, chunk, count - 1));
}

/** @type {import('./run.mjs').Check} */
const endlessLine = {
  feature: 'a line without an end in the authentication is refused',
  foreign: true,
  async run(library) {
    const letters = Buffer.alloc(2 ** 20, 'A');
    const outcome = await against(library, 'ask', {
      connected: (socket) => {
        flood(socket, () => letters, 200);
        return true;
      },
    });
    const verdict = refused(outcome);
    const megabytes = Math.round((outcome.grown ?? 0) / 1e6);
    return verdict.cell === 'yes' && megabytes > 50 ? { ...verdict, cell: `takes ${megabytes} MB` } : verdict;
  },
};

/** @type {import('./run.mjs').Check} */
const forgedSender = {
  feature: 'a reply by another than the peer called is ignored',
  foreign: true,
  async run(library) {
    const outcome = await against(library, 'ask', {
      call: (call, socket) => {
        reply(socket, call, 'u', ONE, { fields: { sender: ':1.99' } });
        setTimeout(() => reply(socket, call, 'u', TWO), 100);
      },
    });
    return succeeded({ ...outcome, value: outcome.value === 2 || outcome.value });
  },
};

/** @type {import('./run.mjs').Check} */
const errorReply = {
  feature: 'an error reply is an Error with its D-Bus name',
  run: (library) =>
    against(library, 'errorReply', {
      call: (call, socket) => {
        const body = new Bytes().string('not today').buffer;
        const frame = replyFrame(call, 's', body, { fields: { errorName: 'org.example.Error.No' } });
        socket.write(encodeFrame({ ...frame, type: 3 }));
      },
    }).then(succeeded),
};

/** @type {import('./run.mjs').Check} */
const exits = {
  feature: 'the process can end after `close`',
  async run(library) {
    const outcome = await against(
      library,
      'closed',
      { call: (call, socket) => reply(socket, call, 'u', ONE) },
      { stay: true },
    );
    return 'lingers' in outcome
      ? { cell: 'no', why: 'still running after the time limit' }
      : succeeded(outcome);
  },
};

export const CONNECTION = {
  title: 'Connections that go wrong',
  checks: [
    ends(
      'calls reject when the peer hangs up',
      'askOnly',
      { call: (_, socket) => socket.destroy() },
      { foreign: true },
    ),
    ends('so does a call made afterwards', 'askAfterEnd', { call: (_, socket) => socket.destroy() }),
    ends('and a call that waits while `close` is called', 'askAndClose', {}),
    ends(
      'a socket that is not there is an error to catch',
      'ask',
      {},
      { parameters: { address: 'unix:path=/nonexistent/bus' }, foreign: true },
    ),
    ends(
      'and rejects the call that waits for it',
      'askOnly',
      {},
      { parameters: { address: 'unix:path=/nonexistent/bus' } },
    ),
    ends(
      'a server that says nothing: a deadline',
      'askWithDeadline',
      { connected: () => true },
      { lacks: /timeout:|timeoutMs|setTimeout\(\s*\(\)\s*=>\s*settle/ },
    ),
    ends('a call that is not answered: a deadline', 'callDeadline', {}, { lacks: /TimeoutError|timeoutMs/ }),
    ends(
      'a call cancelled by an AbortSignal',
      'abort',
      {},
      { lacks: /AbortSignal|AbortError|signal\.aborted/ },
    ),
    ends(
      'a server that rejects the authentication',
      'ask',
      { authenticate: () => 'REJECTED' },
      { foreign: true },
    ),
    ends(
      'a server that hangs up within it',
      'ask',
      { connected: (socket) => Boolean(socket.end()) || true },
      { foreign: true },
    ),
    ends(
      'a server that sends garbage instead',
      'ask',
      {
        connected: (socket) => {
          flood(socket, () => GARBAGE, 50);
          return true;
        },
      },
      { foreign: true },
    ),
    endlessLine,
    ends(
      'garbage after it',
      'ask',
      { call: (_, socket) => void socket.write(Buffer.alloc(4096, 0xa5)) },
      { foreign: true },
    ),
    forgedSender,
    errorReply,
    exits,
  ],
};
