/**
 * What a library does with values: those that it is given to write, and those that it reads. The peer sends back what it got.
 */
import { COMPATIBLE } from './reading.mjs';
import { runTask, succeeded } from './run.mjs';
import { reply, startServer } from './server.mjs';

/** @param {string} library @param {string} task @param {Record<string, unknown>} [parameters] */
async function echoed(library, task, parameters = {}) {
  const server = await startServer({
    call: (call, socket) => reply(socket, call, call.fields['signature'] ?? '', call.body, { big: call.big }),
  });
  try {
    const outcome = await runTask(library, `values/${task}`, { address: server.address, ...parameters });
    return {
      outcome,
      call: server.calls.find(({ fields }) => fields['interface'] !== 'org.freedesktop.DBus'),
    };
  } finally {
    server.close();
  }
}

/** @param {string} feature @param {string[]} names of values that must be refused @param {string} otherwise what a library does that sends one @returns {import('./run.mjs').Check} */
function refuses(feature, names, otherwise) {
  return {
    feature,
    async run(library) {
      /** @type {Map<string, string[]>} */
      const sorts = new Map();
      for (const name of names) {
        const { outcome, call } = await echoed(library, 'write', { name });
        // A call that has come holds something: whatever became of the reply, the value was not refused.
        const sort =
          call === undefined && outcome.outcome === 'error' ? 'yes' : call ? otherwise : outcome.outcome;
        sorts.set(sort, [
          ...(sorts.get(sort) ?? []),
          `${name} (${outcome.text ?? JSON.stringify(outcome.value)})`,
        ]);
      }
      const why = [...sorts].map(([sort, which]) => `${sort}: ${which.join(', ')}`).join('; ');
      sorts.delete('yes');
      const worst = [...sorts.keys()];
      if (worst.length === 0) return { cell: 'yes', why };
      const count = [...sorts.values()].flat().length;
      if (count === names.length) return { cell: worst.join(', '), why };
      return { cell: worst.join() === 'no' ? 'partly' : `partly: ${worst.join(', ')}`, why };
    },
  };
}

export const WRITING = {
  title: 'Refuses to send what is wrong',
  checks: [
    refuses(
      'integer of up to 32 bits out of its range',
      ['256 y', '-1 y', '40000 n', '-1 q', '2^31 i', '2^32 u', '-1 u'],
      'wraps',
    ),
    refuses('integer of 64 bits out of its range', ['2^63 x', '2^64 t', '-1 t'], 'wraps'),
    refuses('number that is unsafe as an integer of 64 bits', ['2^53 x'], 'no'),
    refuses('fraction or NaN as an integer', ['1.5 u', 'NaN u', 'NaN x'], 'rounds'),
    refuses('string or object as a number', ['string u', 'object d'], 'sends a number'),
    refuses('anything but true and false as a boolean', ['string b', '2 b'], 'no'),
    refuses('number or null as a string', ['5 s', 'null s'], 'no'),
    refuses('lone surrogate', ['surrogate s'], 'replaces'),
    refuses('NUL in a string', ['NUL s'], 'no'),
    refuses('invalid object path', ['path o'], 'no'),
    refuses('invalid signature', ['signature g', 'two in a variant'], 'no'),
    refuses('more or fewer values than the signature has', ['too few', 'too many'], 'no'),
    refuses('invalid names in a header', ['member', 'interface', 'destination', 'path of the call'], 'no'),
  ],
};

/** @param {string} feature @param {string} task @returns {import('./run.mjs').Check} */
function keeps(feature, task) {
  return { feature, run: (library) => echoed(library, task).then(({ outcome }) => succeeded(outcome)) };
}

export const VALUES = {
  title: 'Values',
  checks: [
    keeps('integers of 64 bits exact, both ways', 'integers'),
    keeps('NaN, infinities and −0', 'doubles'),
    keeps('a dict keeps the key `__proto__`', 'proto'),
    keeps('a dict keeps the order of its keys', 'order'),
    keeps('keys of a dict that are numbers stay numbers', 'numericKeys'),
    keeps('a variant keeps its signature', 'variants'),
    keeps('bytes read are a copy, not a view of the message', 'copied'),
    keeps('bytes sent as any Uint8Array', 'uint8array'),
    ...COMPATIBLE,
  ],
};
