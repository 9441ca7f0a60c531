import { describe, expect, it } from 'vitest';
import { Protocol } from '../../src/wire/protocol/protocol.js';

const call = { type: 1, flags: 0, path: '/', member: 'Get', signature: '', body: [] };

describe('serials', () => {
  it('begin again at 1 after the last, and leave out those that still wait', () => {
    const protocol = new Protocol(
      { start: () => new Uint8Array(0), receive: () => ({ send: new Uint8Array(0) }) },
      { firstSerial: 0xffff_fffe },
    );
    const taken = new Set([1, 2]);
    const serials = [1, 2, 3, 4].map(() => protocol.send(call, (serial) => taken.has(serial)).serial);
    expect(serials).toEqual([0xffff_fffe, 0xffff_ffff, 3, 4]);
  });
});
