/** Reading frames, case by case: races, torn tails, damage, and what a header may say. Broad tests are in `hostile*`. */
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { describe, expect, test } from 'vitest';
import { BodyWriter } from '../../../src/stash/native/body-writer.js';
import { decryptBody, encryptBody } from '../../../src/stash/native/cipher.js';
import { deriveSubkey, FrameCipher, frameType, setUint64 } from '../../../src/stash/native/frame.js';
import {
  formatPage,
  framesOffset,
  type Position,
  pageByteLength,
} from '../../../src/stash/native/header-page.js';
import { LoadedLog } from '../../../src/stash/native/loaded-log.js';
import { BytesLogFile, FrameMaker, loadBytes, readEverything } from '../../support/stash-file.js';
import { codeOf, failure, utf8 } from '../support.js';

const dataKey = new Uint8Array(32).fill(1);
const storeId = new Uint8Array(16).fill(2);
const none: Position = { sequence: 0, tag: new Uint8Array(16) };

function headOf({
  floor = none,
  base = 0,
  epoch = 1,
}: {
  floor?: Position;
  base?: number;
  epoch?: number;
} = {}): Uint8Array {
  const pages = new Uint8Array(framesOffset);
  const headerKey = deriveSubkey(dataKey, storeId, 'header pages');
  for (let generation = 0; generation < 2; generation++) {
    pages.set(
      formatPage({ storeId, generation, epoch, floor, base, slots: [] }, headerKey),
      generation * pageByteLength,
    );
  }
  return pages;
}

function setting(name: string, value: string): Uint8Array {
  const writer = new BodyWriter();
  writer.set([name], utf8(value));
  return writer.take().slice();
}

function file(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts[0]?.length === framesOffset ? parts : [headOf(), ...parts]));
}

/** What the file holds, as `a=x b=y`, with where the log ends if that is not the end; or the code of an error. */
async function read(bytes: Uint8Array): Promise<unknown> {
  return await codeOf(async () => {
    const log = await loadBytes(bytes, dataKey);
    try {
      const entries = (await readEverything(log)).map(
        ([key, value]) => `${key.join('/')}=${Buffer.from(value ?? []).toString()}`,
      );
      const tail = log.tornTail === undefined ? '' : ` torn ${log.tornTail.byteLength}`;
      return entries.join(' ') + tail;
    } finally {
      log.release();
    }
  });
}

/** Frames that set a to 1, 2, 3 and so on, all of which were synced before the next. */
function chain(count: number): { maker: FrameMaker; frames: Uint8Array[]; positions: Position[] } {
  const maker = new FrameMaker(dataKey, storeId, 1);
  const positions: Position[] = [];
  const frames = Array.from({ length: count }, (_, index) => {
    const frame = maker.frame({ type: frameType.batch, body: setting('a', `${index + 1}`) });
    positions.push({ sequence: maker.sequence, tag: maker.tag });
    return frame;
  });
  return { maker, frames, positions };
}

/** A frame that follows on another one, and on which nothing follows. */
function aside(after: Position, body: Uint8Array, unsynced = 0): { frame: Uint8Array; position: Position } {
  const maker = new FrameMaker(dataKey, storeId, 1, after.sequence);
  maker.tag = after.tag.slice();
  const frame = maker.frame({ type: frameType.batch, body, unsynced });
  return { frame, position: { sequence: maker.sequence, tag: maker.tag } };
}

/** Puts bytes into a header and makes its MAC right again. */
function remade(frame: Uint8Array, at: number, bytes: readonly number[]): Uint8Array {
  const changed = frame.slice();
  changed.set(bytes, at);
  const context = new Uint8Array(24);
  context.set(storeId);
  setUint64(new DataView(context.buffer), 16, 1);
  const key = deriveSubkey(dataKey, storeId, 'frame headers');
  changed.set(hmac(sha256, key, Buffer.concat([context, changed.subarray(0, 56)])).subarray(0, 16), 56);
  return changed;
}

describe('a lost race', () => {
  const { frames, positions } = chain(3);
  const [one, two, three] = frames as [Uint8Array, Uint8Array, Uint8Array];
  const [first, , third] = positions as [Position, Position, Position];
  const loser = aside(first, setting('lost', 'x'), 1);
  const next = aside(loser.position, setting('lost', 'y'), 2);

  test('is passed over, and what follows on it', async () => {
    expect(await read(file(one, two, loser.frame, three))).toBe('a=3');
    expect(await read(file(one, two, loser.frame, next.frame, three))).toBe('a=3');
    expect(await read(file(one, two, loser.frame, three, next.frame))).toBe('a=3');
    // The one that came first counts, whoever wrote it.
    expect(await read(file(one, loser.frame, two, next.frame))).toBe('a=1 lost=y');
  });

  test("is one only with a right body: a tag alone could be anybody's", async () => {
    // In the place of a frame, one that has its tag and is old: what follows on that would be gone unseen.
    const four = aside(third, setting('a', '4')).frame;
    for (const old of [one, two, loser.frame]) {
      const forged = old.slice();
      forged.set(third.tag, forged.length - 16);
      expect(await read(file(one, two, forged, four))).toBe('damaged-frame');
      expect(await read(file(one, two, forged, three, four))).toBe('a=4');
    }
    // It follows on one that lost, but says nothing: no frame, and what comes behind is a hole.
    const spoilt = next.frame.slice();
    spoilt[80] = (spoilt[80] as number) ^ 1;
    expect(await read(file(one, two, loser.frame, spoilt))).toBe(`a=2 torn ${spoilt.length}`);
    expect(await read(file(one, two, loser.frame, spoilt, three))).toBe(
      `a=2 torn ${spoilt.length + three.length}`,
    );
  });

  test('of a chunk is one only with a right body, too', async () => {
    const maker = new FrameMaker(dataKey, storeId, 1, 1);
    maker.tag = first.tag;
    const chunk = maker.frame({ type: frameType.chunk, body: new Uint8Array(40), unsynced: 1 });
    const after = maker.frame({ type: frameType.batch, body: setting('lost', 'z'), unsynced: 2 });
    expect(await read(file(one, two, chunk, after, three))).toBe('a=3');
    const spoilt = chunk.slice();
    spoilt[90] = (spoilt[90] as number) ^ 1;
    expect(await read(file(one, two, spoilt, three))).toBe('a=3');
    expect(await read(file(one, two, spoilt, after))).toBe(`a=2 torn ${after.length}`);
  });

  test('is passed over when salvaging, even between holes', async () => {
    const options = { path: '/memory', unlock: async () => dataKey.slice(), salvage: () => {} };
    const salvaged = async (...parts: Uint8Array[]): Promise<string> => {
      const log = await LoadedLog.load(new BytesLogFile(file(...parts)), options);
      const entries = (await readEverything(log)).map(
        ([key, value]) => `${key.join('/')}=${Buffer.from(value ?? []).toString()}`,
      );
      log.release();
      return entries.join(' ');
    };
    expect(await salvaged(one, two, loser.frame, next.frame, three)).toBe('a=3');
    expect(await salvaged(one, two, loser.frame, new Uint8Array(9), next.frame, three)).toBe('a=3');
    // A copy of the frame before is no reason to pass over the one behind.
    expect(await salvaged(one, two, two, three)).toBe('a=3');
    expect(await salvaged(one, new Uint8Array(9), two, one, new Uint8Array(3), three)).toBe('a=3');
    expect(await salvaged(new Uint8Array(100), two, two, three)).toBe('a=3');
  });
});

/** As many zeros as the frame has bytes. */
function hole(frame: Uint8Array): Uint8Array {
  return new Uint8Array(frame.length);
}

/** Places with fields in range and a wrong MAC. */
function lookalikes(count: number): Uint8Array {
  const bytes = new Uint8Array(count * 72);
  for (let at = 0; at < bytes.length; at += 72) bytes.set([100, 0, 0, 0, 1], at);
  return bytes;
}

describe('a hole', () => {
  const { frames, positions } = chain(3);
  const [one, two, three] = frames as [Uint8Array, Uint8Array, Uint8Array];
  const [first, second, third] = positions as [Position, Position, Position];

  test('is a torn tail with nothing behind it', async () => {
    expect(await read(file(one, hole(two)))).toBe(`a=1 torn ${two.length}`);
    expect(await read(file(one, two.subarray(0, -1)))).toBe(`a=1 torn ${two.length - 1}`);
    expect(await read(file(one, two.subarray(0, 5)))).toBe('a=1 torn 5');
    expect(await read(file(Uint8Array.of(0)))).toBe(' torn 1');
  });

  test('is damage when a frame behind it was written later', async () => {
    expect(await failure(async () => loadBytes(file(one, hole(two), three), dataKey))).toMatchObject({
      code: 'damaged-frame',
      offset: framesOffset + one.length,
    });
    // Even cut, even at odd places: the header alone is enough.
    expect(await read(file(one, hole(two), three.subarray(0, 72)))).toBe('damaged-frame');
    expect(await read(file(one, hole(two), three.subarray(0, 71)))).toBe(`a=1 torn ${two.length + 71}`);
    expect(await read(file(one, hole(two), new Uint8Array(13), three))).toBe('damaged-frame');
  });

  test('is torn when the frames behind it may have been written before', async () => {
    const late = aside(second, setting('a', '3'), 1).frame;
    expect(await read(file(one, hole(two), late))).toBe(`a=1 torn ${two.length + late.length}`);
    const later = aside(third, setting('a', '4'), 1).frame;
    expect(await read(file(one, hole(two), late, later))).toBe('damaged-frame');
  });

  test('is damage when the frame in it was written behind another one', async () => {
    // All before it had been synced, and it does not follow on what is there now.
    const other = aside({ sequence: 1, tag: new Uint8Array(16).fill(7) }, setting('a', 'x'), 0).frame;
    expect(await read(file(one, other))).toBe('damaged-frame');
    expect(await read(file(one, other.subarray(0, 72)))).toBe('damaged-frame');
    // Only there: anywhere else it may be what a lost race has left.
    expect(await read(file(one, Uint8Array.of(0), other))).toBe(`a=1 torn ${1 + other.length}`);
    const unsynced = aside({ sequence: 1, tag: new Uint8Array(16).fill(7) }, setting('a', 'x'), 1).frame;
    expect(await read(file(one, unsynced))).toBe(`a=1 torn ${unsynced.length}`);
    // A torn write of the next frame follows on what is there.
    const next = aside(first, setting('a', 'x'), 0).frame;
    expect(await read(file(one, next.subarray(0, 80)))).toBe('a=1 torn 80');
  });

  test('comes before the floor, and the floor before a torn tail', async () => {
    const head = headOf({ floor: third });
    expect(await read(file(head, one, two, three))).toBe('a=3');
    expect(await read(file(head, one, hole(two), three))).toBe('damaged-frame');
    expect(await read(file(head, one, two, three.subarray(0, -1)))).toBe('lost-frames');
    expect(await read(file(head, one, two))).toBe('lost-frames');
    expect(await read(file(head))).toBe('lost-frames');
    const other = aside(second, setting('a', 'other')).frame;
    expect(await read(file(head, one, two, other))).toBe('damaged-frame');
    expect(await read(file(headOf({ floor: second }), one, two, other))).toBe('a=other');
  });

  test('with too much behind it that looks like a frame is damage', async () => {
    expect(await read(file(one, hole(two), lookalikes(4095), new Uint8Array(72)))).toMatch(/^a=1 torn/);
    expect(await read(file(one, hole(two), lookalikes(4096), new Uint8Array(72)))).toBe('damaged-frame');
    // A length out of range is not worth a MAC.
    const others = lookalikes(5000);
    for (let at = 0; at < others.length; at += 72)
      others.set(at % 2 === 0 ? [16, 0, 0, 0] : [1, 0, 0, 4], at);
    expect(await read(file(one, hole(two), others))).toMatch(/^a=1 torn/);
  });
});

describe('a header with a right MAC', () => {
  const { frames, positions } = chain(2);
  const [one] = frames as [Uint8Array];
  const [first] = positions as [Position];
  const two = aside(first, setting('a', '2'), 1).frame;

  test.each<[string, number, number[]]>([
    ['type 0', 4, [0]],
    ['type 4', 4, [4]],
    ['type 255', 4, [255]],
    ['something behind the type', 5, [1]],
    ['a sequence of 2^53', 8, [0, 0, 0, 0, 0, 0, 0x20, 0]],
    ['a sequence of 2^56 and more', 8, [2, 0, 0, 0, 0, 0, 0, 1]],
    ['a length of 16', 0, [16, 0, 0, 0]],
    ['a length of 0', 0, [0, 0, 0, 0]],
    ['a length of 2^26 + 1', 0, [1, 0, 0, 4]],
    ['a length of 2^32 - 1', 0, [255, 255, 255, 255]],
  ])('and %s is damage', async (_name, at, bytes) => {
    expect(await read(file(one, remade(two, at, bytes)))).toBe('damaged-frame');
    expect(await read(file(remade(one, at, bytes)))).toBe('damaged-frame');
    // Without the MAC it is a torn tail, and behind a hole nobody looks for it.
    const wrong = two.slice();
    wrong.set(bytes, at);
    expect(await read(file(one, wrong))).toBe(`a=1 torn ${two.length}`);
    expect(await read(file(one, Uint8Array.of(0), remade(two, at, bytes)))).toMatch(/^a=1 torn/);
  });

  test('and the longest length is that of a frame that is not all there', async () => {
    expect(await read(file(one, remade(two, 0, [0, 0, 0, 4])))).toBe(`a=1 torn ${two.length}`);
    expect(await read(file(one, remade(two, 0, [17, 0, 0, 0])))).toBe(`a=1 torn ${two.length}`);
  });
});

describe('the bodies of frames', () => {
  const cipher = new FrameCipher(dataKey, storeId, 1);
  // Short ones are noble's, long ones the system's.
  test.each([1, 100, 2031, 2032, 2047, 2048, 2049, 5000])(
    'of %d bytes open under their own header alone',
    (length) => {
      const body = Uint8Array.from({ length }, (_, index) => index);
      const header = { type: frameType.batch, unsynced: 0, sequence: 1, previous: none.tag };
      const frame = cipher.seal(header, body);
      expect(cipher.open(frame)).toEqual(body);
      for (let at = 0; at < frame.length; at += at < 100 ? 1 : 97) {
        const changed = frame.slice();
        changed[at] = (changed[at] as number) ^ 0x40;
        expect([at, cipher.open(changed)]).toEqual([at, undefined]);
      }
      for (const other of [
        new FrameCipher(dataKey, storeId, 2),
        new FrameCipher(dataKey, new Uint8Array(16), 1),
        new FrameCipher(new Uint8Array(32), storeId, 1),
      ]) {
        expect(other.open(frame)).toBeUndefined();
        expect(other.parseHeader(frame)).toBeUndefined();
        expect(other.hasMac(frame)).toBe(false);
      }
      expect(cipher.parseHeader(frame)).toMatchObject({
        bodyByteLength: length + 16,
        sequence: 1,
        unsynced: 0,
        type: 1,
      });
      expect(cipher.parseHeader(frame.subarray(0, 71))).toBeUndefined();
      expect(cipher.hasMac(frame.subarray(0, 71))).toBe(false);
    },
  );

  test.each([0, 1, 2031, 2032, 2033, 2048, 70_000])(
    'of %d bytes are the same by the system and by noble',
    async (length) => {
      const { xchacha20poly1305 } = await import('@noble/ciphers/chacha.js');
      const key = Uint8Array.from({ length: 32 }, (_, index) => 7 * index);
      const nonce = Uint8Array.from({ length: 24 }, (_, index) => 250 - index);
      const associated = Uint8Array.from({ length: 96 }, (_, index) => index);
      const body = Uint8Array.from({ length }, (_, index) => index * 3);
      const target = new Uint8Array(length + 16);
      encryptBody(key, nonce, associated, body, target);
      expect(Buffer.compare(target, xchacha20poly1305(key, nonce, associated).encrypt(body))).toBe(0);
      expect(Buffer.compare(decryptBody(key, nonce, associated, target) ?? new Uint8Array(1), body)).toBe(0);
      expect(decryptBody(key, nonce, associated.subarray(1), target)).toBeUndefined();
      expect(decryptBody(key, nonce, associated, target.subarray(1))).toBeUndefined();
      expect(decryptBody(key, nonce, associated, new Uint8Array())).toBeUndefined();
    },
  );
});

/** So many sevens, and zeros behind them. */
function sevens(length: number, zeros = 0): Uint8Array {
  return new Uint8Array(length + zeros).fill(7, 0, length);
}

/** Reads a value of so many bytes from chunks with these bodies. */
async function large(byteLength: number, ...bodies: Uint8Array[]): Promise<unknown> {
  const maker = new FrameMaker(dataKey, storeId, 1);
  const chunks = bodies.map((body) => maker.frame({ type: frameType.chunk, body }));
  const writer = new BodyWriter();
  writer.setLarge(['a'], byteLength, 1);
  const batch = maker.frame({ type: frameType.batch, body: writer.take().slice() });
  return await codeOf(async () => {
    const log = await loadBytes(file(...chunks, batch), dataKey);
    const [entry] = await readEverything(log);
    log.release();
    return entry?.[1]?.length;
  });
}

describe('a value in chunks', () => {
  test('is read from whole chunks, of which the last may end in zeros', async () => {
    expect(await large(40_000, sevens(40_000))).toBe(40_000);
    expect(await large(40_000, sevens(40_000, 25_536))).toBe(40_000);
    expect(await large(65_536, sevens(65_536))).toBe(65_536);
    expect(await large(65_537, sevens(65_536), sevens(1))).toBe(65_537);
    expect(await large(65_537, sevens(65_536), sevens(1, 65_535))).toBe(65_537);
  });

  test.each<[string, number, Uint8Array[]]>([
    ['too short a chunk', 40_000, [sevens(39_999)]],
    ['something behind the end', 40_000, [sevens(40_001)]],
    ['too many zeros behind the end', 40_000, [sevens(40_000, 25_537)]],
    ['too short a chunk before the last', 65_537, [sevens(65_535), sevens(2)]],
    ['zeros in the place of the last byte', 65_537, [sevens(65_536, 1), sevens(1)]],
    ['too long a chunk before the last', 65_537, [sevens(65_537), sevens(1)]],
    ['a missing chunk', 65_537, [sevens(65_536)]],
    ['two for one', 40_000, [sevens(20_000), sevens(20_000)]],
  ])('of %s is damaged', async (_name, byteLength, bodies) => {
    expect(await large(byteLength, ...bodies)).toBe('damaged-frame');
  });

  test('is of chunks alone, and each is of one value', async () => {
    const maker = new FrameMaker(dataKey, storeId, 1);
    const chunk = maker.frame({ type: frameType.chunk, body: sevens(40_000) });
    const writer = new BodyWriter();
    writer.setLarge(['a'], 40_000, 1);
    const one = maker.frame({ type: frameType.batch, body: writer.take().slice() });
    writer.setLarge(['b'], 40_000, 1);
    const two = maker.frame({ type: frameType.batch, body: writer.take().slice() });
    expect(await read(file(chunk, one))).toBe(`a=${'\u0007'.repeat(40_000)}`);
    expect(await read(file(chunk, one, two))).toBe('damaged-frame');
    // A batch of padding is no chunk.
    const other = new FrameMaker(dataKey, storeId, 1);
    const padding = other.frame({ type: frameType.batch, body: new Uint8Array(40_000) });
    writer.setLarge(['a'], 40_000, 1);
    expect(
      await read(file(padding, other.frame({ type: frameType.batch, body: writer.take().slice() }))),
    ).toBe('damaged-frame');
  });
});

describe('the first frame', () => {
  test('has the sequence behind the base, and follows on zeros', async () => {
    const maker = new FrameMaker(dataKey, storeId, 3, 41);
    const frame = maker.frame({ type: frameType.page, body: setting('a', 'x') });
    expect(await read(file(headOf({ base: 41, epoch: 3 }), frame))).toBe('a=x');
    expect(
      await read(file(headOf({ base: 41, epoch: 3, floor: { sequence: 42, tag: maker.tag } }), frame)),
    ).toBe('a=x');
    expect(await read(file(headOf({ base: 40, epoch: 3 }), frame))).toBe('damaged-frame');
    // It was written before, as far as anybody can tell.
    expect(await read(file(headOf({ base: 42, epoch: 3 }), frame))).toBe('');
    expect(await read(file(headOf({ base: 41, epoch: 2 }), frame))).toBe(` torn ${frame.length}`);
  });
});
