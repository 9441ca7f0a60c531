import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it } from 'vitest';
import {
  callChannel,
  closeChannel,
  connectChannel,
  dropChannel,
  messageEvent,
  replyChannel,
  serveChannel,
  signalChannel,
} from '../../src/wire/connection/channels.js';
import type { Message } from '../../src/wire/message/message.js';

const CHANNELS = {
  connect: connectChannel,
  close: closeChannel,
  call: callChannel,
  reply: replyChannel,
  serve: serveChannel,
  signal: signalChannel,
  drop: dropChannel,
};

describe('the channels', () => {
  it.each(Object.entries(CHANNELS))('secretbus.wire.%s is there by its name', (name, own) => {
    expect(own).toBe(channel(`secretbus.wire.${name}`));
    expect(own.hasSubscribers).toBe(false);
    const heard: unknown[] = [];
    const listener = (event: unknown): void => void heard.push(event);
    subscribe(`secretbus.wire.${name}`, listener);
    expect(own.hasSubscribers).toBe(true);
    const event = { connection: 1, durationMs: 2 };
    (own as { publish(event: object): void }).publish(event);
    unsubscribe(`secretbus.wire.${name}`, listener);
    expect(own.hasSubscribers).toBe(false);
    expect(heard).toEqual([event]);
  });
});

describe('the event of a message', () => {
  const message: Message = {
    type: 1,
    flags: 2,
    serial: 3,
    path: '/a',
    interface: 'a.b',
    member: 'M',
    destination: 'c.d',
    sender: ':1.5',
    signature: 's',
    body: ['correct horse'],
  };

  it('has its header, and nothing of its body', () => {
    const event = messageEvent(7, message, 99);
    expect(event).toEqual({
      connection: 7,
      flags: 2,
      serial: 3,
      path: '/a',
      interface: 'a.b',
      member: 'M',
      destination: 'c.d',
      sender: ':1.5',
      signature: 's',
      byteLength: 99,
    });
    expect(JSON.stringify(event)).not.toContain('horse');
  });

  it('does not even look at the body', () => {
    const guarded = Object.defineProperty({ ...message }, 'body', {
      get: () => {
        throw new Error('looked');
      },
    });
    expect(messageEvent(1, guarded).serial).toBe(3);
  });
});
