/** What the writers write: values of which it can be told whether they are the right ones. */

/** How writers that are to be killed work. */
export const kinds = ['single', 'batch', 'large', 'together', 'unsynced', 'compacting', 'passwords'] as const;
export type Kind = (typeof kinds)[number];

/** So many keys are written over again and again. */
export const slots = 16;

/** The value with a number: its text, repeated; of a length that depends on the number. */
export function valueOf(kind: Kind, writer: string, number: number): Uint8Array {
  const text = `${writer} ${number};`;
  const byteLength = kind === 'large' ? 30_000 + ((number * 7919) % 200_000) : 1 + ((number * 31) % 900);
  return new Uint8Array(Buffer.alloc(Math.max(byteLength, text.length), text));
}

/** The first password of a store; later ones have a higher number. */
export function passwordOf(number: number): string {
  return `password ${number}`;
}

/** The cheapest derivation there is. */
export const cheap = { derivation: { name: 'scrypt', N: 2, r: 1 } } as const;
