import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage } from '../../src/wire/index.js';
import { errorReply, methodCall, methodReturn, signal } from '../../src/wire/message/builders.js';
import type { UnsentMessage } from '../../src/wire/message/message.js';

/** What the peer reads. */
const sent = (message: UnsentMessage): unknown => decodeMessage(encodeMessage({ ...message, serial: 7 }));

describe('the builders of messages', () => {
  it('make calls, with nothing but what is given', () => {
    expect(sent(methodCall({ path: '/', member: 'Get' }))).toEqual({
      type: 1,
      flags: 0,
      serial: 7,
      path: '/',
      member: 'Get',
      signature: '',
      body: [],
    });
    const whole = methodCall({
      destination: 'a.b',
      path: '/',
      interface: 'a.b',
      member: 'Get',
      signature: 's',
      body: ['x'],
    });
    expect(sent(whole)).toEqual({
      type: 1,
      flags: 0,
      serial: 7,
      destination: 'a.b',
      path: '/',
      interface: 'a.b',
      member: 'Get',
      signature: 's',
      body: ['x'],
    });
  });

  it.each([
    [{ noReply: true }, 1],
    [{ noAutoStart: true }, 2],
    [{ allowInteractiveAuthorization: true }, 4],
    [{ noReply: true, noAutoStart: true, allowInteractiveAuthorization: true }, 7],
    [{ noReply: false, noAutoStart: undefined }, 0],
  ])('set the flags of a call: %j', (options, flags) => {
    expect(sent(methodCall({ path: '/', member: 'Get', ...options }))).toMatchObject({ flags });
  });

  it('answer a call, to whom it came from', () => {
    const call = { serial: 5, sender: ':1.9' };
    const common = { flags: 1, serial: 7, destination: ':1.9', replySerial: 5 };
    expect(sent(methodReturn(call))).toEqual({ ...common, type: 2, signature: '', body: [] });
    expect(sent(methodReturn(call, { signature: 'u', body: [3] }))).toMatchObject({
      signature: 'u',
      body: [3],
    });
    expect(sent(errorReply(call, 'a.b.Failed', { signature: 's', body: ['why'] }))).toEqual({
      ...common,
      type: 3,
      errorName: 'a.b.Failed',
      signature: 's',
      body: ['why'],
    });
  });

  it('answer a call without a sender, as there is none without a bus', () => {
    expect(sent(methodReturn({ serial: 5 }))).not.toHaveProperty('destination');
    expect(sent(errorReply({ serial: 5 }, 'a.b'))).toEqual({
      type: 3,
      flags: 1,
      serial: 7,
      replySerial: 5,
      errorName: 'a.b',
      signature: '',
      body: [],
    });
  });

  it('make signals, to all and to one', () => {
    const common = { path: '/', interface: 'a.b', member: 'Changed' };
    const expected = { ...common, type: 4, flags: 1, serial: 7, signature: '', body: [] };
    expect(sent(signal(common))).toEqual(expected);
    expect(sent(signal({ ...common, destination: ':1.2' }))).toEqual({ ...expected, destination: ':1.2' });
  });
});
