import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createMemoryPair, type Transport } from '../../src/wire/index.js';

/** What a transport delivers, as text, and `end`. */
function listen(transport: Transport): string[] {
  const events: string[] = [];
  transport.start({
    receive: (bytes) => events.push(Buffer.from(bytes).toString()),
    ended: () => events.push('end'),
  });
  return events;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('createMemoryPair', () => {
  it('carries bytes both ways, in order, never within the call', async () => {
    const [one, other] = createMemoryPair();
    const [atOne, atOther] = [listen(one), listen(other)];
    one.write(bytes('a'));
    one.write(bytes('b'));
    other.write(bytes('c'));
    expect(atOther).toEqual([]);
    expect(one.queuedByteLength).toBe(2);
    await delay(1);
    expect(atOther).toEqual(['a', 'b']);
    expect(atOne).toEqual(['c']);
    expect(one.queuedByteLength).toBe(0);
  });

  it('delivers what was written before the end, also to one that starts late', async () => {
    const [one, other] = createMemoryPair();
    const atOne = listen(one);
    one.write(bytes('a'));
    one.close();
    one.write(bytes('too late'));
    await delay(1);
    const atOther = listen(other);
    await delay(1);
    expect(atOther).toEqual(['a', 'end']);
    expect(atOne).toEqual(['end']);
  });

  it('drops what is queued when it is destroyed, and ends once on both sides', async () => {
    const [one, other] = createMemoryPair();
    const [atOne, atOther] = [listen(one), listen(other)];
    one.write(bytes('a'));
    other.write(bytes('b'));
    one.destroy();
    one.destroy();
    one.close();
    other.destroy();
    await delay(1);
    expect(atOne).toEqual(['end']);
    expect(atOther).toEqual(['end']);
  });

  it('started after its end, ends', async () => {
    const [one] = createMemoryPair();
    one.destroy();
    const events = listen(one);
    await delay(1);
    expect(events).toEqual(['end']);
  });

  it('takes many writes in time in proportion', async () => {
    const [one, other] = createMemoryPair();
    let received = 0;
    other.start({ receive: (chunk) => (received += chunk.length), ended: () => {} });
    for (let count = 0; count < 200_000; count++) one.write(Uint8Array.of(1));
    await delay(1);
    expect(received).toBe(200_000);
  });
});
