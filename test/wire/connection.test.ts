import { getEventListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  createMemoryPair,
  encodeMessage,
  type Message,
  MessageParser,
  openBus,
  type Transport,
  type TransportHandlers,
} from '../../src/wire/index.js';
import { type Answer, GUID, openScriptedBus, ScriptedPeer } from '../support/scripted-peer.js';

const call = { destination: ':1.9', path: '/', interface: 'a.b', member: 'Get' };
const silent = (): Answer => undefined;
const echo = (message: Message): Answer => ({ signature: message.signature, body: [...message.body] });

const echoGet = (message: Message): Answer => (message.member === 'Get' ? echo(message) : undefined);

/** A transport whose other side is a bus, and which delivers its answers before `write` returns. */
function answersAtOnce(): Transport {
  let handlers: TransportHandlers | undefined;
  const parser = new MessageParser();
  const reply = {
    type: 2,
    flags: 1,
    serial: 1,
    sender: 'org.freedesktop.DBus',
    signature: 's',
    body: [':1.1'],
  };
  return {
    queuedByteLength: 0,
    start: (given) => (handlers = given),
    write: (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      if (text.includes('AUTH')) handlers?.receive(Buffer.from(`OK ${GUID}\r\n`), []);
      if (text.includes('AUTH') || text.includes('BEGIN')) return;
      for (const { serial, destination = '' } of parser.push(bytes)) {
        const sender = destination === 'a.b' ? ':1.5' : destination;
        handlers?.receive(encodeMessage({ ...reply, sender, replySerial: serial }), []);
      }
    },
    close: () => handlers?.ended(),
    destroy: () => handlers?.ended(),
  };
}

describe('calls', () => {
  it('get their reply', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    expect(bus).toMatchObject({ uniqueName: ':1.7', guid: GUID });
    expect(await bus.call({ ...call, signature: 'su', body: ['a', 5] })).toEqual(['a', 5]);
    expect(peer.calls[0]).toMatchObject({ ...call, flags: 0, signature: 'su' });
    await bus.close();
    expect(await bus.closed).toBeUndefined();
    expect(peer.ended).toBe(true);
  });

  it('get their own reply, whatever the order and byte order of the replies', async () => {
    const waiting: Message[] = [];
    const { bus, peer } = await openScriptedBus((message) => {
      waiting.push(message);
      return undefined;
    });
    const results = Promise.all(
      Array.from({ length: 64 }, (_, index) => bus.call({ ...call, signature: 'u', body: [index] })),
    );
    await delay(5);
    waiting.reverse();
    for (const [index, message] of waiting.entries()) {
      peer.reply(message, echo(message) as NonNullable<Answer>, index % 2 === 0 ? 'big' : 'little');
    }
    expect(await results).toEqual(Array.from({ length: 64 }, (_, index) => [index]));
    await bus.close();
  });

  it('send the flags they are asked to', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    await bus.call({ ...call, noAutoStart: true, allowInteractiveAuthorization: true });
    expect(peer.calls[0]?.flags).toBe(6);
    await bus.close();
  });

  it('reject with the error that came as the reply', async () => {
    const { bus } = await openScriptedBus(() => ({ errorName: 'a.b.Refused', text: 'not today' }));
    await expect(bus.call(call)).rejects.toMatchObject({
      name: 'a.b.Refused',
      code: 'error-reply',
      message: 'not today',
      body: ['not today'],
    });
    await bus.close();
  });

  it('reject with an error that has no text, or text made to harm a log', async () => {
    const { bus } = await openScriptedBus(() => ({
      errorName: 'a.b.Refused',
      text: `a\n\u001b[2J${'b'.repeat(1000)}`,
    }));
    await expect(bus.call(call)).rejects.toMatchObject({ message: `a [2J${'b'.repeat(506)}` });
    await bus.close();
    const { bus: other } = await openScriptedBus(() => ({ errorName: 'a.b.Refused', text: '' }));
    await expect(other.call(call)).rejects.toMatchObject({ message: 'a.b.Refused' });
    await other.close();
  });

  it('reject a reply of another signature, and go on', async () => {
    const { bus } = await openScriptedBus(echo);
    await expect(bus.call({ ...call, replySignature: 'u' })).rejects.toMatchObject({
      code: 'unexpected-signature',
      expected: 'u',
      actual: '',
    });
    expect(await bus.call({ ...call, signature: 'u', body: [1], replySignature: 'u' })).toEqual([1]);
    await bus.close();
  });

  it('run out of time, and drop the reply that comes later', async () => {
    const { bus, peer } = await openScriptedBus(silent);
    await expect(bus.call({ ...call, timeoutMs: 10 })).rejects.toMatchObject({
      code: 'deadline',
      deadline: 'call',
      timeoutMs: 10,
    });
    peer.reply(peer.calls[0] as Message, { signature: '', body: [] });
    await delay(5);
    await bus.close();
    expect(await bus.closed).toBeUndefined();
  });

  it('are cancelled by a signal, before and while they wait, and leave no listener', async () => {
    const { bus, peer } = await openScriptedBus(silent);
    const reason = new Error('enough');
    await expect(bus.call({ ...call, signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
      code: 'cancelled',
      cause: reason,
    });
    expect(peer.calls).toHaveLength(0);
    const controller = new AbortController();
    const pending = bus.call({ ...call, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 5);
    await expect(pending).rejects.toMatchObject({ code: 'cancelled', cause: reason });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await bus.close();
  });

  it('refuse a timeout that is none', async () => {
    const { bus } = await openScriptedBus(echo);
    await expect(bus.call({ ...call, timeoutMs: -1 })).rejects.toMatchObject({ code: 'invalid-timeout' });
    await expect(bus.call({ ...call, timeoutMs: Number.NaN })).rejects.toMatchObject({
      code: 'invalid-timeout',
    });
    await bus.close();
  });

  it('may wait longer than a timer can', async () => {
    const { bus } = await openScriptedBus(async (message) => {
      await delay(20);
      return echo(message);
    });
    // Taken as it is, the platform's timer would fire at once.
    expect(await bus.call({ ...call, timeoutMs: Number.POSITIVE_INFINITY })).toEqual([]);
    await bus.close();
  });

  it('that cannot be marshalled send nothing and use up no serial', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    await expect(bus.call({ ...call, signature: 'u', body: ['x' as never] })).rejects.toMatchObject({
      path: 'body[0]',
    });
    await expect(bus.call({ ...call, path: 'x' })).rejects.toMatchObject({
      code: 'invalid-message',
      path: 'path',
    });
    await expect(bus.call({ ...call, member: 'a.b' })).rejects.toMatchObject({ path: 'member' });
    await bus.call(call);
    expect(peer.calls.map((message) => message.serial)).toEqual([2]);
    await bus.close();
  });
});

describe('one signal for many calls', () => {
  it('has one listener, cancels them all, and has none afterwards', async () => {
    const { bus } = await openScriptedBus(silent);
    const controller = new AbortController();
    const calls = Array.from({ length: 50 }, () => bus.call({ ...call, signal: controller.signal }));
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort('enough');
    for (const one of calls) await expect(one).rejects.toMatchObject({ code: 'cancelled', cause: 'enough' });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await bus.close();
  });

  it('serves again after the first calls have ended', async () => {
    const { bus } = await openScriptedBus(echo);
    const controller = new AbortController();
    const options = { ...call, signal: controller.signal };
    await Promise.all([bus.call(options), bus.call(options)]);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await bus.call(options);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await bus.close();
  });
});

describe('a reply', () => {
  it('from another peer is not taken for that of the one called', async () => {
    const { bus, peer } = await openScriptedBus(silent);
    const pending = bus.call({ ...call, timeoutMs: 50 });
    await delay(5);
    const [message] = peer.calls as [Message];
    peer.reply(message, { signature: 's', body: ['forged'], sender: ':1.666' });
    peer.reply(message, { signature: 's', body: ['forged'], sender: 'org.freedesktop.DBus' });
    peer.reply(message, { errorName: 'a.b.Forged', sender: ':1.666' });
    peer.reply(message, { signature: 's', body: ['true'] });
    expect(await pending).toEqual(['true']);
    await bus.close();
  });

  it('of the bus itself is taken when it is an error, and from the owner of a well-known name', async () => {
    const { bus } = await openScriptedBus((message) =>
      message.destination === 'a.gone'
        ? { errorName: 'org.freedesktop.DBus.Error.ServiceUnknown', sender: 'org.freedesktop.DBus' }
        : { signature: '', body: [], sender: ':1.99' },
    );
    await expect(bus.call({ ...call, destination: 'a.gone' })).rejects.toMatchObject({ code: 'error-reply' });
    expect(await bus.call({ ...call, destination: 'a.here' })).toEqual([]);
    await bus.close();
  });

  it('to a call never made is dropped', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    peer.send({ type: 2, flags: 0, replySerial: 4_000_000, sender: ':1.9', signature: '', body: [] });
    expect(await bus.call(call)).toEqual([]);
    await bus.close();
  });
});

describe('messages nobody asked for', () => {
  it('of unknown types and signals are ignored', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    peer.send({ type: 200, flags: 0xf8, signature: 'u', body: [1] });
    peer.send({ type: 4, flags: 0, path: '/', interface: 'a.b', member: 'Changed', signature: '', body: [] });
    expect(await bus.call(call)).toEqual([]);
    await bus.close();
  });

  it('that are calls are answered with UnknownObject, unless no reply is wanted', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    peer.send({ type: 1, flags: 1, path: '/', member: 'Ask', sender: ':1.5', signature: '', body: [] });
    peer.send({ type: 1, flags: 0, path: '/', member: 'Ask', sender: ':1.5', signature: '', body: [] });
    await bus.call(call);
    expect(peer.others).toHaveLength(1);
    expect(peer.others[0]).toMatchObject({
      type: 3,
      errorName: 'org.freedesktop.DBus.Error.UnknownObject',
      destination: ':1.5',
    });
    await bus.close();
  });
});

describe('the end of a connection', () => {
  it('by the peer rejects all that waits, and says why', async () => {
    const { bus, peer } = await openScriptedBus(silent);
    const pending = [bus.call(call), bus.call(call)];
    await delay(5);
    peer.destroy();
    for (const one of pending) {
      await expect(one).rejects.toMatchObject({ code: 'closed', cause: { code: 'disconnected' } });
    }
    expect(await bus.closed).toMatchObject({ code: 'disconnected' });
    await expect(bus.call(call)).rejects.toMatchObject({ code: 'closed' });
  });

  it('by us rejects all that waits', async () => {
    const { bus } = await openScriptedBus(silent);
    const pending = expect(bus.call(call)).rejects.toSatisfy(
      (error: Error & { code: string }) => error.code === 'closed' && error.cause === undefined,
    );
    await bus.close();
    await bus.close();
    await pending;
  });

  it.each([
    ['garbage', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'bad-endian'],
    ['a forged length', Buffer.from('6c010001ffffffff0100000000000000', 'hex'), 'message-too-long'],
    ['forged header fields', Buffer.from('6c0100010000000001000000ffffffff', 'hex'), 'array-too-long'],
  ])('comes with %s', async (_what, bytes, code) => {
    const { bus, peer } = await openScriptedBus(silent);
    const pending = bus.call(call);
    await delay(5);
    peer.write(bytes);
    await expect(pending).rejects.toMatchObject({ code: 'closed', cause: { name: 'ProtocolError', code } });
    expect(await bus.closed).toMatchObject({ code });
    expect(peer.ended).toBe(true);
  });

  it('inside a message is an error of the protocol', async () => {
    const { bus, peer } = await openScriptedBus(silent);
    const whole = encodeMessage({ type: 2, flags: 0, serial: 1, replySerial: 1, signature: '', body: [] });
    peer.write(whole.subarray(0, -3));
    await delay(5);
    peer.destroy();
    expect(await bus.closed).toMatchObject({ name: 'ProtocolError', code: 'truncated' });
  });

  it('comes with `await using`', async () => {
    const { bus, peer } = await openScriptedBus(echo);
    await bus[Symbol.asyncDispose]();
    expect(peer.ended).toBe(true);
  });
});

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

describe('nothing is left', () => {
  it('of timers, once calls and connection have ended', async () => {
    const before = timers();
    const { bus } = await openScriptedBus(echoGet);
    await bus.call(call);
    const pending = expect(bus.call({ ...call, member: 'Wait' })).rejects.toMatchObject({ code: 'closed' });
    expect(timers()).toBe(before + 1);
    await bus.close();
    await pending;
    expect(timers()).toBe(before);
  });
});

describe('openBus', () => {
  it('refuses what is neither an address nor a transport', async () => {
    for (const value of [undefined, null, 5, {}, new URL('unix:path=/a')] as unknown[]) {
      await expect(openBus(value as string)).rejects.toMatchObject({ code: 'invalid-address' });
    }
  });

  it('destroys a transport that it was given and does not use', async () => {
    for (const options of [
      { connectTimeoutMs: -1 },
      { callTimeoutMs: -1 },
      { signal: AbortSignal.abort() },
    ]) {
      const [ours, theirs] = createMemoryPair();
      const ended = new Promise<void>((resolve) =>
        theirs.start({ receive: () => {}, ended: () => resolve() }),
      );
      await expect(openBus(ours, options)).rejects.toMatchObject({ name: expect.stringMatching(/Error$/) });
      await ended;
    }
  });

  it('gives Hello the time to connect, and not that of a call', async () => {
    const { bus } = await openScriptedBus(echoGet, { callTimeoutMs: 0 });
    await expect(bus.call({ ...call, member: 'Wait' })).rejects.toMatchObject({
      code: 'deadline',
      deadline: 'call',
    });
    expect(await bus.call({ ...call, timeoutMs: 1000 })).toEqual([]);
    await bus.close();
  });

  it('takes a transport that answers within the call that writes', async () => {
    const bus = await openBus(answersAtOnce(), { connectTimeoutMs: 1000 });
    expect(await bus.call({ ...call, destination: 'a.b' })).toEqual([':1.1']);
    await bus.close();
  });

  it('does not wait for a transport that will not end', async () => {
    const transport = answersAtOnce();
    const bus = await openBus(transport);
    transport.close = () => {};
    transport.destroy = () => {};
    await bus.close();
    expect(await bus.closed).toBeUndefined();
  });

  it('does not wait for ever for a peer that says nothing, or for one that will not say Hello', async () => {
    const [mute] = createMemoryPair();
    await expect(openBus(mute, { connectTimeoutMs: 20 })).rejects.toMatchObject({
      code: 'deadline',
      deadline: 'connect',
    });
    const [ours, theirs] = createMemoryPair();
    let ended = false;
    theirs.start({
      receive: (bytes) => {
        if (Buffer.from(bytes).includes('AUTH')) theirs.write(Buffer.from(`OK ${GUID}\r\n`));
      },
      ended: () => (ended = true),
    });
    await expect(openBus(ours, { connectTimeoutMs: 20 })).rejects.toMatchObject({ code: 'deadline' });
    await delay(5);
    expect(ended).toBe(true);
  });

  it('is cancelled by a signal', async () => {
    const [mute] = createMemoryPair();
    const controller = new AbortController();
    const opening = openBus(mute, { signal: controller.signal });
    controller.abort('enough');
    await expect(opening).rejects.toMatchObject({ code: 'cancelled', cause: 'enough' });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  it('refuses a bus that gives no unique name', async () => {
    const [ours, theirs] = createMemoryPair();
    const peer = new ScriptedPeer(theirs, silent);
    const wrong: typeof peer.reply = (message) =>
      ScriptedPeer.prototype.reply.call(peer, message, { signature: 's', body: ['no.unique.name'] });
    peer.reply = wrong;
    await expect(openBus(ours)).rejects.toMatchObject({ code: 'connect-failed' });
  });

  it('takes the first message in one chunk with the last line of the authentication', async () => {
    const [ours, theirs] = createMemoryPair();
    theirs.start({
      receive: (bytes) => {
        if (!Buffer.from(bytes).includes('AUTH')) return;
        const hello = {
          type: 2,
          flags: 1,
          serial: 1,
          replySerial: 1,
          sender: 'org.freedesktop.DBus',
          signature: 's',
        };
        const early = encodeMessage({ type: 77, flags: 0, serial: 9, signature: '', body: [] });
        theirs.write(Buffer.concat([Buffer.from(`OK ${GUID}\r\n`), early]));
        setTimeout(() => theirs.write(encodeMessage({ ...hello, body: [':1.1'] })), 5);
      },
      ended: () => {},
    });
    const bus = await openBus(ours);
    expect(bus.uniqueName).toBe(':1.1');
    await bus.close();
  });
});
