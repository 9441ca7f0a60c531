import { afterEach, describe, expect, it } from 'vitest';
import { accept, type Connection, connect, createMemoryPair, implement } from '../../src/wire/index.js';

/** A literal as it is written, which unlike what `defineInterface` gives has a prototype. */
const Clock = {
  name: 'org.example.Clock',
  methods: { Now: { out: 'x' } },
  signals: { Ticked: { signature: 's' } },
  properties: { Zone: { type: 's', access: 'read' }, Count: { type: 'u', access: 'read' } },
} as const;

const unknownMember = expect.objectContaining({ code: 'unknown-member' }) as Error;

describe('a proxy', () => {
  const open: Connection[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  });

  /** A connection to a clock. */
  async function opened(): Promise<Connection> {
    const [ours, theirs] = createMemoryPair();
    const implementation = implement(Clock, {
      methods: { Now: () => 7n },
      properties: { Zone: 'UTC', Count: 5 },
    });
    const [far, near] = await Promise.all([
      accept(theirs, { onConnection: (connection) => connection.export('/clock', [implementation]) }),
      connect(ours),
    ]);
    open.push(far, near);
    return near;
  }

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty', 'Nothing'])(
    'has no member %s that its definition has not',
    async (name) => {
      const clock = (await opened()).proxy(undefined, '/clock', Clock);
      await expect(clock.get(name as 'Zone')).rejects.toThrow(unknownMember);
      await expect(clock.set(name as never, '' as never)).rejects.toThrow(unknownMember);
      expect(() => clock.signals(name as 'Ticked')).toThrow(unknownMember);
      expect(name in clock.call).toBe(false);
    },
  );

  it('leaves out properties that come with another type, and refuses one that is asked for', async () => {
    const other = {
      ...Clock,
      properties: { Zone: { type: 'o', access: 'read' }, Count: Clock.properties.Count },
    } as const;
    const clock = (await opened()).proxy(undefined, '/clock', other);
    expect({ ...(await clock.getAll()) }).toEqual({ Count: 5 });
    await expect(clock.get('Zone')).rejects.toMatchObject({
      code: 'unexpected-signature',
      expected: 'o',
      actual: 's',
    });
  });
});

describe('connecting over a transport of the caller', () => {
  it.each<[string, object]>([
    ['invalid-timeout', { connectTimeoutMs: -1 }],
    ['invalid-timeout', { callTimeoutMs: Number.NaN }],
    ['cancelled', { signal: AbortSignal.abort() }],
    ['no-mechanism', { mechanisms: [] }],
  ])('ends it when it fails: %s', async (code, options) => {
    const [ours, theirs] = createMemoryPair();
    const ended = new Promise<void>((resolve) => theirs.start({ receive: () => {}, ended: () => resolve() }));
    await expect(connect(ours, options)).rejects.toMatchObject({ code });
    await ended;
  });
});
