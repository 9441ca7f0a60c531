/** What we record, read by Wireshark's own dissector. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Variant } from '../../src/wire/codec/variant.js';
import { Recorder } from '../../src/wire/diagnostics/recorder.js';
import { encodeMessage } from '../../src/wire/message/encode.js';
import type { Message } from '../../src/wire/message/message.js';
import { message } from '../support/arbitraries.js';
import { describeWith, runs } from '../support/external.js';

const HEADER_FIELDS = [
  'frame.time_epoch',
  'frame.len',
  'dbus.endianness',
  'dbus.message_type',
  'dbus.flags',
  'dbus.serial',
  'dbus.path',
  'dbus.interface',
  'dbus.member',
  'dbus.error_name',
  'dbus.reply_serial',
  'dbus.destination',
  'dbus.sender',
  'dbus.signature',
  '_ws.malformed',
  '_ws.expert.message',
];

function text(value: string | number | undefined): string {
  return value === undefined ? '' : String(value);
}

describeWith('tshark', runs('tshark', ['--version']))('a recording, read by tshark', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'secretbus-'));
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Fields of each message, several values of one joined by U+0001. */
  function read(name: string, chunks: readonly Uint8Array[], fields: readonly string[]): string[][] {
    const file = join(folder, name);
    writeFileSync(file, Buffer.concat(chunks));
    const parameters = ['-r', file, '-T', 'fields', '-E', 'separator=/t', '-E', 'aggregator=\u{1}'];
    const output = execFileSync('tshark', [...parameters, ...fields.flatMap((field) => ['-e', field])], {
      encoding: 'utf8',
      // Its messages, such as that it should not be run by root.
      stdio: ['ignore', 'pipe', 'ignore'],
      // Neither settings nor plugins of the one who runs the tests.
      env: { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder },
      timeout: 60_000,
      maxBuffer: 2 ** 26,
    });
    return output
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split('\t'));
  }

  it('has every header field of every message, and nothing to complain of', () => {
    const messages = fc.sample(
      // Of a type that nobody knows the dissector reads no more.
      message.filter(({ type }) => type <= 4),
      500,
    );
    const chunks: Uint8Array[] = [];
    let now = 1_700_000_000_000;
    const recorder = new Recorder({ write: (bytes) => void chunks.push(bytes), now: () => (now += 0.125) });
    const frames = messages.map((one, index) =>
      encodeMessage(one, { endian: index % 2 === 0 ? 'little' : 'big' }),
    );
    frames.forEach((frame, index) => recorder.record(frame, messages[index] as Message, false));
    expect(read('headers.pcap', chunks, HEADER_FIELDS)).toEqual(
      messages.map((one, index) => [
        ((1_700_000_000_000 + (index + 1) / 8) / 1000).toFixed(6).padEnd(20, '0'),
        text(frames[index]?.length),
        index % 2 === 0 ? '108' : '66',
        text(one.type),
        `0x${one.flags.toString(16).padStart(2, '0')}`,
        text(one.serial),
        text(one.path),
        text(one.interface),
        text(one.member),
        text(one.errorName),
        text(one.replySerial),
        text(one.destination),
        text(one.sender),
        text(one.signature),
        '',
        '',
      ]),
    );
  });

  it('has the values of bodies, but for those that are left out', () => {
    const chunks: Uint8Array[] = [];
    const recorder = new Recorder({ write: (bytes) => void chunks.push(bytes) });
    const body = ['hello', new Variant('u', 7), new Map([['key', new Variant('s', 'value')]])];
    const shown: Message = {
      type: 1,
      flags: 0,
      serial: 3,
      path: '/a',
      member: 'M',
      signature: 'sva{sv}',
      body,
    };
    const hidden: Message = { ...shown, serial: 4, interface: 'org.freedesktop.Secret.Item' };
    for (const one of [shown, hidden]) recorder.record(encodeMessage(one), one, false);
    expect(
      read('bodies.pcap', chunks, ['dbus.serial', 'dbus.type.string', 'dbus.type.uint32', '_ws.malformed']),
    ).toEqual([
      ['3', ['hello', 'key', 'value'].join('\u{1}'), '7', ''],
      ['4', '', '', ''],
    ]);
  });

  it('says where messages were cut', () => {
    const chunks: Uint8Array[] = [];
    const recorder = new Recorder({ write: (bytes) => void chunks.push(bytes), snapLength: 64 });
    const one: Message = {
      type: 1,
      flags: 0,
      serial: 3,
      path: '/a',
      member: 'M',
      signature: 's',
      body: ['a'.repeat(99)],
    };
    recorder.record(encodeMessage(one), one, false);
    const length = String(encodeMessage(one).length);
    expect(read('cut.pcap', chunks, ['frame.len', 'frame.cap_len', 'dbus.member'])).toEqual([
      [length, '64', 'M'],
    ]);
  });
});
