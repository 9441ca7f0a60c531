import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_RECORDED_CALLS } from '../../src/wire/base/limits.js';
import { encodePcapHeader, encodePcapPacket } from '../../src/wire/diagnostics/pcap.js';
import { Recorder, type RecorderOptions } from '../../src/wire/diagnostics/recorder.js';
import { decodeMessage } from '../../src/wire/message/decode.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import { message } from '../support/arbitraries.js';

const SECRET = 'correct horse battery staple';

function call(fields: Partial<Message> = {}): Message {
  return { type: 1, flags: 0, serial: 5, path: '/a', member: 'M', signature: 's', body: [SECRET], ...fields };
}

function reply(replySerial: number, fields: Partial<Message> = {}): Message {
  return { type: 2, flags: 1, serial: 9, replySerial, signature: 's', body: [SECRET], ...fields };
}

/** A recorder and what it wrote. */
function recording(options: Partial<RecorderOptions> = {}): {
  recorder: Recorder;
  file: () => Buffer;
  record: (message: Message, sensitive?: boolean) => void;
} {
  const chunks: Uint8Array[] = [];
  const recorder = new Recorder({ write: (bytes) => void chunks.push(bytes), ...options });
  return {
    recorder,
    file: () => Buffer.concat(chunks),
    record: (one, sensitive = false) => recorder.record(encodeMessage(one), one, sensitive),
  };
}

interface Packet {
  timeMs: number;
  byteLength: number;
  bytes: Buffer;
}

/** The packets of a file, whose own header must be as it has to be. */
function packetsOf(file: Buffer, snapLength = 2 ** 27): Packet[] {
  expect([file.readUInt32LE(0), file.readUInt16LE(4), file.readUInt16LE(6)]).toEqual([0xa1b2c3d4, 2, 4]);
  expect([file.readUInt32LE(16), file.readUInt32LE(20)]).toEqual([snapLength, 231]);
  const packets: Packet[] = [];
  let at = 24;
  while (at < file.length) {
    const length = file.readUInt32LE(at + 8);
    packets.push({
      timeMs: file.readUInt32LE(at) * 1000 + file.readUInt32LE(at + 4) / 1000,
      byteLength: file.readUInt32LE(at + 12),
      bytes: file.subarray(at + 16, at + 16 + length),
    });
    at += 16 + length;
  }
  expect(at).toBe(file.length);
  return packets;
}

const isRedacted = (file: Buffer): boolean => !file.includes(SECRET);

describe('a pcap file', () => {
  it('has a header of 24 bytes, known to every reader', () => {
    expect(Buffer.from(encodePcapHeader()).toString('hex')).toBe(
      'd4c3b2a102000400000000000000000000000008e7000000',
    );
  });

  it.each<[number, number, number]>([
    [0, 0, 0],
    [1.5, 0, 1500],
    [1_700_000_000_123.456, 1_700_000_000, 123_456],
    [999.9999, 0, 999_999],
    [-5, 0, 0],
    [Number.NaN, 0, 0],
    [Number.POSITIVE_INFINITY, 0xffff_ffff, 999_000],
    [1e18, 0xffff_ffff, 999_000],
  ])('writes the time %d ms as %d s and %d µs', (timeMs, seconds, microseconds) => {
    const packet = Buffer.from(encodePcapPacket({ timeMs, bytes: new Uint8Array([7]) }));
    expect([packet.readUInt32LE(0), packet.readUInt32LE(4)]).toEqual([seconds, microseconds]);
    expect([...packet.subarray(8)]).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 7]);
  });
});

describe('a recorder', () => {
  it('writes every message as it is, with its time', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), fc.boolean(), (messages, big) => {
        let time = 1_700_000_000_000;
        const { recorder, file } = recording({ now: () => (time += 0.25) });
        const frames = messages.map((one) => encodeMessage(one, { endian: big ? 'big' : 'little' }));
        frames.forEach((frame, index) => recorder.record(frame, messages[index] as Message, false));
        const packets = packetsOf(file());
        expect(packets.map(({ bytes }) => [...bytes])).toEqual(frames.map((frame) => [...frame]));
        expect(packets.map(({ timeMs }) => timeMs)).toEqual(
          frames.map((_, n) => 1_700_000_000_000 + (n + 1) / 4),
        );
        expect(recorder).toMatchObject({
          frames: messages.length,
          byteLength: file().length,
          truncated: false,
          droppedFrames: 0,
        });
      }),
    );
  });

  it('takes the present time where no clock is given', () => {
    const { record, file } = recording();
    record(call());
    expect(Math.abs((packetsOf(file())[0] as Packet).timeMs - Date.now())).toBeLessThan(5000);
  });

  it('keeps of a sensitive message its header and length, and not one byte of its body', () => {
    fc.assert(
      fc.property(message, fc.boolean(), fc.nat(300), (one, big, snap) => {
        const frame = encodeMessage(one, { endian: big ? 'big' : 'little' });
        const empty = encodeMessage({ ...one, signature: '', body: [] });
        const { recorder, file } = recording({ snapLength: snap + 1 });
        recorder.record(frame, one, true);
        const [packet] = packetsOf(file(), snap + 1) as [Packet];
        expect(packet.byteLength).toBe(frame.length);
        expect(packet.bytes.length).toBe(Math.min(frame.length, snap + 1));
        const view = new DataView(frame.buffer, frame.byteOffset);
        const bodyStart = frame.length - view.getUint32(4, !big);
        expect(bodyStart).toBeGreaterThanOrEqual(empty.length);
        expect([...packet.bytes.subarray(0, bodyStart)]).toEqual([
          ...frame.subarray(0, Math.min(bodyStart, snap + 1)),
        ]);
        expect(packet.bytes.subarray(bodyStart).every((byte) => byte === 0)).toBe(true);
      }),
    );
  });

  it('keeps headers that can be decoded', () => {
    const { record, file } = recording();
    record(call({ interface: 'a.b' }), true);
    const [packet] = packetsOf(file()) as [Packet];
    const header = Buffer.from(packet.bytes);
    expect(() => decodeMessage(header)).toThrow(expect.objectContaining({ code: 'leftover-bytes' }));
    expect(header.includes('a.b')).toBe(true);
  });

  it.each<[string, Partial<Message>]>([
    ['an interface of the Secret Service', { interface: 'org.freedesktop.Secret.Item' }],
    ['its portal', { interface: 'org.freedesktop.portal.Secret' }],
    ['a keyring behind it', { interface: 'org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface' }],
    ['a wallet', { interface: 'org.kde.KWallet' }],
    ['its name, without an interface', { destination: 'org.freedesktop.secrets' }],
    ['its name as the sender', { sender: 'org.freedesktop.secrets' }],
    ['its path', { path: '/org/freedesktop/secrets' }],
    [
      'a path below',
      { path: '/org/freedesktop/secrets/collection/a', interface: 'org.freedesktop.DBus.Properties' },
    ],
    ['a signal from there', { type: 4, interface: 'org.freedesktop.Secret.Service' }],
  ])('leaves out what concerns %s', (_, fields) => {
    const { record, file } = recording();
    record(call(fields));
    expect(packetsOf(file())).toHaveLength(1);
    expect(isRedacted(file())).toBe(true);
  });

  it.each<[string, Partial<Message>]>([
    ['another interface', { interface: 'org.freedesktop.Secretary' }],
    ['another path', { path: '/org/freedesktop/secretsX' }],
    ['another name', { destination: 'org.freedesktop.secretsX' }],
  ])('does not leave out %s', (_, fields) => {
    const { record, file } = recording();
    record(call(fields));
    expect(isRedacted(file())).toBe(false);
  });

  it('leaves out the replies to such calls, errors too, and whatever else came between', () => {
    const { record, file, recorder } = recording();
    record(call({ serial: 5, interface: 'org.freedesktop.Secret.Item' }));
    record(call({ serial: 6 }), true);
    // Our own reply to a call that somebody made with the same serial.
    record(reply(5));
    record(reply(5, { sender: ':1.5' }));
    record(reply(6, { type: 3, errorName: 'a.b.C' }));
    expect(recorder.frames).toBe(5);
    expect(isRedacted(file())).toBe(true);
    record(reply(7));
    expect(isRedacted(file())).toBe(false);
  });

  it('asks the caller for more to leave out, and leaves out what it cannot tell', () => {
    const asked: Message[] = [];
    const { record, file } = recording({
      redact: (one) => {
        asked.push(one);
        if (one.member === 'Throw') throw new Error('oops');
        return one.member === 'Hide';
      },
    });
    record(call({ serial: 1, member: 'Hide' }));
    record(call({ serial: 2, member: 'Throw' }));
    record(reply(1));
    record(reply(2));
    expect(asked.map(({ member }) => member)).toEqual(['Hide', 'Throw']);
    expect(isRedacted(file())).toBe(true);
    record(call({ serial: 3 }));
    expect(isRedacted(file())).toBe(false);
  });

  it('leaves out every reply once there are too many calls to remember', () => {
    const { recorder, file, record } = recording({ maxByteLength: 24 + 16 + 200, snapLength: 200 });
    const one = call({ interface: 'org.freedesktop.Secret.Item' });
    const frame = encodeMessage(one);
    for (let serial = 1; serial <= MAX_RECORDED_CALLS; serial++)
      recorder.record(frame, { ...one, serial }, false);
    const [first, second] = [recording(), recording()];
    for (let serial = 1; serial <= MAX_RECORDED_CALLS + 1; serial++) {
      if (serial <= MAX_RECORDED_CALLS) first.recorder.record(frame, { ...one, serial }, false);
      second.recorder.record(frame, { ...one, serial }, false);
    }
    first.record(reply(0x7fff_ffff));
    second.record(reply(0x7fff_ffff));
    expect([isRedacted(first.file()), isRedacted(second.file())]).toEqual([false, true]);
    record(reply(1));
    expect(packetsOf(file(), 200)).toHaveLength(1);
  });

  it('ends with the first message that does not fit, and says so', () => {
    const long = encodeMessage(call()).length + 16;
    for (let room = 0; room < 3 * long; room++) {
      const { recorder, file, record } = recording({ maxByteLength: 24 + room });
      record(call());
      record(call());
      record(call({ signature: '', body: [] }));
      const fits = Math.min(2, Math.floor(room / long));
      const short = encodeMessage(call({ signature: '', body: [] })).length + 16;
      const frames = fits === 2 && room >= 2 * long + short ? 3 : fits;
      expect(file().length).toBe(recorder.byteLength);
      expect(file().length).toBeLessThanOrEqual(24 + room);
      expect(recorder).toMatchObject({ frames, droppedFrames: 3 - frames, truncated: frames < 3 });
      expect(packetsOf(file())).toHaveLength(frames);
      recorder.close();
      expect(recorder.truncated).toBe(frames < 3);
    }
  });

  it('writes no more of a message than it is told', () => {
    const { record, file } = recording({ snapLength: 20 });
    record(call());
    const frame = encodeMessage(call());
    expect(packetsOf(file(), 20)).toEqual([
      { timeMs: expect.any(Number), byteLength: frame.length, bytes: Buffer.from(frame.subarray(0, 20)) },
    ]);
  });

  it('copies what it is given', () => {
    const { recorder, file } = recording();
    const frame = encodeMessage(call());
    recorder.record(frame, call(), false);
    frame.fill(0xff);
    expect(file().includes(SECRET)).toBe(true);
  });

  it('stops when it cannot write, and throws nothing', () => {
    let room = 2;
    const full = new Error('no space left');
    const { recorder, record } = recording({
      write: () => {
        if (room-- === 0) throw full;
      },
    });
    for (let count = 0; count < 5; count++) record(call());
    expect(recorder).toMatchObject({ frames: 1, droppedFrames: 4, truncated: false, failure: full });
  });

  it('goes on with a clock that is broken', () => {
    const { recorder, record } = recording({
      now: () => {
        throw new Error('late');
      },
    });
    record(call());
    expect(recorder.frames).toBe(1);
  });

  it('leaves out all of a frame that is none', () => {
    const { recorder, file } = recording();
    recorder.record(Buffer.from(`xxxxxxxxxxxxxxxx${SECRET}`), call(), true);
    recorder.record(Buffer.from('x'), call(), true);
    expect(packetsOf(file())).toHaveLength(2);
    expect(isRedacted(file())).toBe(true);
  });

  it('writes nothing after it was closed', () => {
    const { recorder, file, record } = recording();
    recorder.close();
    recorder.close();
    record(call());
    expect(file()).toHaveLength(24);
    expect(recorder).toMatchObject({ frames: 0, droppedFrames: 0, truncated: false });
  });

  it.each([
    { maxByteLength: 23 },
    { maxByteLength: Number.NaN },
    { maxByteLength: 100.5 },
    { snapLength: 0 },
    { snapLength: '5' as unknown as number },
  ])('is not made with %j', (options) => {
    expect(() => recording(options)).toThrow(expect.objectContaining({ code: 'invalid-option' }));
  });
});
