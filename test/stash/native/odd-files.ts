/** Scripts for `writer.py`: files in every state that crashes, races, faults and forgers may leave them in. */
import fc from 'fast-check';
import { hex } from '../support.js';

/** What `writer.py` is asked for. */
export type Script = Record<string, unknown>;

/** The secret of the first slot of every file, in hexadecimal. */
export const keySecret: string = '11'.repeat(32);

/** One object of the members of several. */
function merged(...parts: Script[]): Script {
  return Object.assign({}, ...parts) as Script;
}

function rarely<Value>(arbitrary: fc.Arbitrary<Value>, weight = 12): fc.Arbitrary<Value | undefined> {
  return fc.oneof({ weight, arbitrary: fc.constant(undefined) }, arbitrary);
}

function defined(script: Record<string, unknown>): Script {
  return Object.fromEntries(Object.entries(script).filter(([, value]) => value !== undefined));
}

/** A record of fields that are mostly left out. */
function oddities(fields: Record<string, fc.Arbitrary<unknown>>, weight = 12): fc.Arbitrary<Script> {
  const arbitraries = Object.fromEntries(
    Object.entries(fields).map(([name, arbitrary]) => [name, rarely(arbitrary, weight)]),
  );
  return fc.record(arbitraries).map(defined);
}

function bytesOf(length: number): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength: length, maxLength: length }).map(hex);
}

/** Names as bytes: well-formed, and not WTF-8 in many ways. */
const nameBytes = fc
  .oneof(
    fc.constantFrom(
      ...'c3a9 f09f9491 eda080 edb080 edb080eda080  00 efbfbf f48fbfbf 7f c280'.split(' '),
      // In two halves; overlong; beyond the last; cut short; no first byte of any; a half followed by letters.
      ...'eda0bdedb491 c081 c1bf e08080 e09fbf f0808080 f08fbfbf f4908080 f5808080'.split(' '),
      ...'c3 e282 f09f94 80 bf fe ff c328 e28228 f09f9428 eda08061 61edb080'.split(' '),
      ...'f09f9491edb080 edb080f09f9491 eda080f09f9491 f09f9491eda080edb080'.split(' '),
    ),
    fc.uint8Array({ maxLength: 4 }).map(hex),
  )
  .map((bytes) => ({ bytes }));

const longName = fc
  .constantFrom(16_383, 16_384, 3 * 16_383, 3 * 16_383 + 1)
  .chain((count) =>
    fc.constantFrom(
      { bytes: { repeat: '61', count } },
      { bytes: { repeat: 'eda080', count: Math.ceil(count / 3) } },
      { bytes: { repeat: 'f09f9491', count: Math.ceil(count / 4) } },
      { bytes: { repeat: 'c3a9', count: Math.ceil(count / 2) } },
    ),
  );

const nameArbitrary: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'c') },
  { weight: 2, arbitrary: nameBytes },
  longName,
);

const keyArbitrary = fc.oneof(
  { weight: 30, arbitrary: fc.array(nameArbitrary, { minLength: 1, maxLength: 3 }) },
  fc.constant([]),
  fc.integer({ min: 62, max: 66 }).map((length) => Array.from({ length }, (_, level) => `${level % 10}`)),
);

/** Numbers written in more ways than one, and too large ones, after the opcode and key of `a`. */
const rawOperation = fc
  .oneof(
    fc
      .tuple(
        fc.constantFrom('01', '02', '03', '04', '05', 'ff'),
        fc.constantFrom('00', '8000', '01', '808000', '80'),
        fc.constantFrom('01', '8100', '02', 'ffffffffffffff0f', 'ffffffffffffff1f', '8080808080808010'),
        fc.constantFrom('0161', '810061', '0261', 'ffffffff0f61', '01'),
        fc.constantFrom('', '00', '0100', '8000', 'ffffffffffffff0f', '80808080808080808000', '80'),
      )
      .map((parts) => parts.join('')),
    fc.uint8Array({ maxLength: 6 }).map(hex),
    fc.constantFrom('00', '000000', '0001', '00000100'),
  )
  .map((raw) => ({ raw }));

/** `chunk` is settled when the places of the chunks are known. */
const operationArbitrary: fc.Arbitrary<Script> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ set: keyArbitrary, value: fc.uint8Array({ maxLength: 5 }).map(hex) }),
  },
  { weight: 2, arbitrary: fc.record({ make: keyArbitrary }) },
  { weight: 2, arbitrary: fc.record({ remove: keyArbitrary }) },
  rawOperation,
  fc.record({
    set: fc.constant(['a']),
    value: fc.record({ repeat: fc.constant('5a'), count: fc.constantFrom(32_767, 32_768, 32_769) }),
  }),
  fc.record({ set: fc.constant(['a', 'b']), value: fc.constant('01'), shared: fc.nat(3) }),
  {
    weight: 2,
    arbitrary: fc.record({
      chunks: fc.constantFrom(['a'], ['b', 'c']),
      byteLength: fc.constantFrom(
        32_768,
        32_769,
        40_000,
        65_536,
        65_537,
        98_304,
        131_073,
        2 ** 28,
        2 ** 28 + 1,
      ),
      chunk: fc.nat(3),
    }),
  },
);

const frameOddities = oddities(
  {
    pad: fc.constantFrom(1, 16),
    padTo: fc.constantFrom(300, 5000),
    unsynced: fc.constantFrom(1, 2, 3, 65_535),
    side: fc.constant(true),
    lost: fc.constant(true),
    hole: fc.constant(true),
    keep: fc.constantFrom(0, 1, 40, 71, 72, 73, 100, -1, -16),
    blank: fc.constantFrom([0, 72], [0, 512], [72, 80], [56, 72]),
    badMac: fc.constant(true),
    badTag: fc.constant(true),
    length: fc.constantFrom(0, 16, 17, 40, 2 ** 26, 2 ** 26 + 1, 2 ** 32 - 1),
    reserved: fc.constant(1),
    sequence: fc.oneof(fc.nat(8), fc.constantFrom(2 ** 53 - 1, 2 ** 53)),
    previous: fc.oneof(
      bytesOf(16),
      fc.nat(4).map((item) => ({ item })),
    ),
    after: fc.oneof(fc.constant(null), fc.nat(4)),
    epoch: fc.constantFrom(1, 2),
    storeId: bytesOf(16),
    headerKey: bytesOf(32),
  },
  60,
);

const itemArbitrary: fc.Arbitrary<Script> = fc.oneof(
  {
    weight: 40,
    arbitrary: fc
      .tuple(
        fc.oneof(
          { weight: 12, arbitrary: fc.constant('batch') },
          { weight: 3, arbitrary: fc.constant('page') },
          fc.constantFrom(0, 4),
        ),
        fc.array(operationArbitrary, { maxLength: 3 }),
        frameOddities,
      )
      .map(([type, ops, odd]) => merged({ type, ops }, odd)),
  },
  {
    weight: 8,
    arbitrary: fc
      .tuple(
        fc.constantFrom(1, 32_769, 40_000, 65_535, 65_536, 65_537),
        fc.constantFrom('00', '5a'),
        rarely(fc.constant(65_536), 3),
        frameOddities,
      )
      .map(([count, repeat, padTo, odd]) =>
        merged({ type: 'chunk', body: { repeat, count } }, defined({ padTo }), odd),
      ),
  },
  { weight: 3, arbitrary: fc.record({ copy: fc.nat(4) }) },
  fc.record({ part: fc.nat(4), from: fc.constantFrom(0, 1, 72), to: fc.constantFrom(72, 100, 344) }),
  fc.record({ zeros: fc.constantFrom(1, 72, 512) }),
  fc.record({ raw: fc.uint8Array({ minLength: 1, maxLength: 100 }).map(hex) }),
);

/** Frames of which each could be read, in every order that races, crashes and forgers leave them in. */
const plainItemArbitrary: fc.Arbitrary<Script> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .tuple(
        fc.record({
          set: fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 2 }),
          value: bytesOf(1),
        }),
        oddities(
          {
            side: fc.constant(true),
            after: fc.oneof(fc.constant(null), fc.nat(6)),
            unsynced: fc.constantFrom(1, 2, 3, 9),
            lost: fc.constant(true),
            hole: fc.constant(true),
            keep: fc.constantFrom(60, 72, 100, -1),
            badTag: fc.constant(true),
            epoch: fc.constant(9),
          },
          14,
        ),
      )
      .map(([operation, odd]) => merged({ type: 'batch', ops: [operation], pad: 16 }, odd)),
  },
  // Two in a row that another writer has written.
  fc.constant({ race: 2 }),
  { weight: 2, arbitrary: fc.record({ copy: fc.nat(6) }) },
);

/** Lets `race` stand for frames of a writer that came too late and did not know it. */
function racesIn(items: readonly Script[]): Script[] {
  const found: Script[] = [];
  for (const item of items) {
    if (!('race' in item)) {
      found.push(item);
      continue;
    }
    const last = found.length - 1;
    if (last < 1 || !('type' in (found[last - 1] as Script)) || !('type' in (found[last] as Script)))
      continue;
    const lost = { type: 'batch', ops: [{ set: ['lost'], value: '00' }], side: true, unsynced: 1 };
    found.push({ ...lost, after: last - 1 }, { ...lost, unsynced: 2, after: last + 1 });
  }
  return found;
}

/** A value in chunks, mostly as a writer leaves one. */
const chunkItemsArbitrary: fc.Arbitrary<Script[]> = fc
  .record({
    byteLength: fc.constantFrom(32_769, 40_000, 65_536, 65_537, 98_304, 131_072, 131_073),
    pad: fc.constantFrom(1, 4096, 65_536),
    // What is added to the length of one of the chunks, or of the value.
    which: fc.nat(2),
    excess: rarely(fc.constantFrom(-1, 1, 40_000), 3),
    wrong: rarely(fc.constantFrom(-1, 1), 6),
    tail: rarely(fc.constant('5a'), 6),
    odd: oddities({ badTag: fc.constant(true), lost: fc.constant(true), side: fc.constant(true) }),
    shift: rarely(fc.constant(1), 9),
    type: fc.constantFrom('batch', 'page'),
    after: fc.constantFrom(
      [],
      [{ set: ['large'], value: '01' }],
      [{ remove: ['large'] }],
      [{ make: ['large'] }],
    ),
  })
  .map(({ byteLength, pad, which, excess = 0, wrong = 0, tail = '00', odd, shift = 0, type, after }) => {
    const items: Script[] = [];
    for (let start = 0; start < byteLength; start += 65_536) {
      const count = Math.min(65_536, byteLength - start) + (items.length === which ? excess : 0);
      const padTo = Math.ceil(count / pad) * pad;
      const body = tail === '00' || count >= padTo ? { repeat: '5b', count } : { repeat: tail, count: padTo };
      items.push({ type: 'chunk', body, padTo, ...(items.length === which ? odd : {}) });
    }
    const reference = {
      chunks: ['large'],
      byteLength: byteLength + wrong,
      sequence: { item: Math.min(shift, items.length - 1) },
    };
    return items.concat({ type, ops: [reference] }, { type: 'batch', ops: after });
  });

const floorArbitrary = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('none', 'last') },
  { weight: 2, arbitrary: fc.nat(4).map((item) => ({ item })) },
  fc.record({
    sequence: fc.oneof(fc.nat(3), fc.constant(2 ** 53)),
    tag: fc.oneof(bytesOf(16), fc.constant('00'.repeat(16))),
  }),
);

const pageOddities = {
  version: fc.constantFrom(0, 2),
  features: fc.constant(1),
  zero12: fc.constant('00000001'),
  zero80: fc.constant(`${'00'.repeat(15)}01`),
  zero3936: fc.constant(`${'00'.repeat(95)}01`),
  epoch: fc.constantFrom(0, 2, 2 ** 53),
  base: fc.constantFrom(1, 2 ** 53),
  generation: fc.constantFrom(0, 1, 2, 3, 2 ** 53 - 1, 2 ** 53),
  badHash: fc.constant(true),
  badMac: fc.constant(true),
  macId: bytesOf(16),
};

const headerArbitrary = fc
  .tuple(
    fc.record({
      floor: floorArbitrary,
      generation: fc.oneof(
        { weight: 9, arbitrary: fc.nat(5).map((number) => number + 1) },
        fc.constant(2 ** 53 - 1),
      ),
    }),
    oddities(
      {
        ...pageOddities,
        pages: fc.constantFrom('', 'a', 'b'),
        a: oddities({ ...pageOddities, floor: floorArbitrary }, 3),
        b: oddities({ ...pageOddities, floor: floorArbitrary }, 3),
        atA: fc.constantFrom('a', 'b'),
        atB: fc.constantFrom('a', 'b'),
      },
      200,
    ),
  )
  .map(([plain, odd]) => merged(plain, odd));

/** Slots that do not open, are no slots, or ask for too much. */
const slotArbitrary: fc.Arbitrary<Script> = fc
  .tuple(
    fc.oneof({ weight: 4, arbitrary: fc.constantFrom('password', 'recovery', 'key') }, fc.constantFrom(0, 4)),
    oddities(
      {
        derivation: fc.constantFrom('none', 'scrypt', 'argon2id', 'pbkdf2', 4),
        label: fc.oneof(
          fc.constantFrom('desk', 'ü'.repeat(12), '24 bytes of a label 🔑', '\0'),
          // Not UTF-8, or with a zero inside.
          fc.constantFrom('ff', 'c3', '610061', 'eda080').map((repeat) => ({ repeat, count: 1 })),
        ),
        reserved: fc.constantFrom('0100', '0001'),
        commitment: bytesOf(32),
        nonce: bytesOf(24),
        wrapped: bytesOf(48),
        secret: fc.constantFrom('70', keySecret),
        wraps: bytesOf(32),
      },
      6,
    ),
    rarely(
      fc.tuple(
        fc.constantFrom(0, 1, 2, 8, 15, 16, 25, 31, 63, 2 ** 31),
        fc.constantFrom(0, 1, 2, 33),
        fc.constantFrom(0, 1, 17),
      ),
      2,
    ),
  )
  .map(([kind, odd, parameters]) => {
    // What costs much is not derived to be written: nothing opens it.
    const isPlain = parameters === undefined && odd['derivation'] !== 4;
    const blind = isPlain ? {} : { commitment: '22'.repeat(32), wrapped: '33'.repeat(48) };
    return merged({ kind, secret: '70' }, blind, odd, defined({ parameters }));
  });

const patchArbitrary = fc.oneof(
  fc.record({
    item: fc.nat(4),
    offset: fc.nat(400),
    xor: fc.nat(7).map((bit) => hex(Uint8Array.of(1 << bit))),
  }),
  fc.record({
    item: fc.nat(4),
    offset: fc.nat(100),
    insert: fc.uint8Array({ minLength: 1, maxLength: 3 }).map(hex),
  }),
  fc.record({ item: fc.nat(4), offset: fc.nat(100), remove: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ offset: fc.nat(12_000), xor: fc.constant('01') }),
);

/** A place among so many. */
function place(value: unknown, count: number): number {
  return (value as number) % Math.max(1, count);
}

/** Makes the places that a script names be there, and each chunk be named once at most, as a writer does. */
function settled(script: Script, items: readonly Script[], patches: readonly Script[]): Script {
  const chunks = items.flatMap((item, index) => (item['type'] === 'chunk' ? [index] : []));
  const named = new Set<number>();
  const settledItems = items.map((item, index): Script => {
    if ('copy' in item || 'part' in item) {
      const name = 'copy' in item ? 'copy' : 'part';
      return index === 0 ? { zeros: 3 } : { ...item, [name]: place(item[name], index) };
    }
    const result = { ...item };
    // Frames that carry on from what is no frame are not for the writer.
    const isFrame = (at: number): boolean => 'type' in (items[at] as Script);
    if (typeof result['after'] === 'number') {
      const at = place(result['after'], index);
      if (index > 0 && isFrame(at)) result['after'] = at;
      else delete result['after'];
    }
    const previous = result['previous'] as { item?: number } | undefined;
    if (previous?.item !== undefined) {
      const at = place(previous.item, index);
      if (index > 0 && isFrame(at)) result['previous'] = { item: at };
      else delete result['previous'];
    }
    if (Array.isArray(result['ops'])) {
      result['ops'] = (result['ops'] as Script[]).map((operation) => {
        if (!('chunk' in operation)) return operation;
        const { chunk, byteLength } = operation;
        const before = chunks.filter((at) => at < index);
        const first = before[place(chunk, before.length)];
        const count = Math.min(Math.ceil((byteLength as number) / 65_536), 8);
        const wanted =
          first === undefined ? [] : Array.from({ length: count }, (_, number) => first + number);
        if (first === undefined || wanted.some((at) => named.has(at)))
          return { chunks: operation['chunks'], byteLength, sequence: 2 ** 40 };
        for (const at of wanted) named.add(at);
        return { chunks: operation['chunks'], byteLength, sequence: { item: first } };
      });
    }
    return result;
  });
  const frames = settledItems.flatMap((item, index) => ('type' in item ? [index] : []));
  const floorOf = (floor: unknown): unknown => {
    const { item } = Object(floor) as { item?: number };
    if (item === undefined) return floor;
    return frames.length === 0 ? 'none' : { item: frames[place(item, frames.length)] };
  };
  const header = { ...(script['header'] as Script) };
  for (const name of ['a', 'b']) {
    const page = header[name] as Script | undefined;
    if (page !== undefined && 'floor' in page) header[name] = { ...page, floor: floorOf(page['floor']) };
  }
  const settledPatches = patches.map((patch) =>
    'item' in patch && items.length > 0
      ? { ...patch, item: place(patch['item'], items.length) }
      : { offset: 20, xor: '00' },
  );
  return {
    ...script,
    items: settledItems,
    header: { ...header, floor: floorOf(header['floor']) },
    patches: settledPatches,
  };
}

/** The slot that opens each file. */
const ours: Script = { kind: 'key', secret: keySecret, label: 'ours' };

/** Any script. */
export const scriptArbitrary: fc.Arbitrary<Script> = fc
  .tuple(
    fc.record({
      op: fc.constant('write'),
      seed: fc.nat().map(String),
      base: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.constantFrom(5, 2 ** 40, 2 ** 53 - 2)),
      epoch: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.constantFrom(2, 2 ** 53 - 1)),
      slots: rarely(fc.array(slotArbitrary, { maxLength: 2 }), 6).map((slots) => [ours].concat(slots ?? [])),
      header: headerArbitrary,
    }),
    fc.oneof(
      { weight: 3, arbitrary: fc.array(itemArbitrary, { maxLength: 7 }) },
      { weight: 3, arbitrary: fc.array(plainItemArbitrary, { maxLength: 9 }).map(racesIn) },
      chunkItemsArbitrary,
    ),
    rarely(fc.array(patchArbitrary, { minLength: 1, maxLength: 2 }), 4),
    rarely(fc.nat(9000), 40),
  )
  .map(([script, items, patches, cut]) => settled({ ...script, ...defined({ cut }) }, items, patches ?? []));
