/**
 * Bodies nested as deep as one likes, written without our marshaller, which would refuse them. Each level is a variant with
 * one thing in it; the signature of the body is `v`.
 */

type Step = 'struct' | 'byte' | 'key' | { arrayOf: 1 | 4 | 8 };

/** What a level writes between its signature and the next variant, or the end. */
const STEPS = {
  v: [],
  av: [{ arrayOf: 1 }],
  aav: [{ arrayOf: 4 }, { arrayOf: 1 }],
  '(v)': ['struct'],
  '(yv)': ['struct', 'byte'],
  'a(v)': [{ arrayOf: 8 }],
  'a{yv}': [{ arrayOf: 8 }, 'byte'],
  'a{s(v)}': [{ arrayOf: 8 }, 'key', 'struct'],
} satisfies Record<string, Step[]>;

/** What the innermost variant holds. */
const ENDS = {
  y: ['byte'],
  ay: [{ arrayOf: 1 }, 'byte'],
  aay: [{ arrayOf: 4 }, { arrayOf: 1 }, 'byte'],
  '(y)': ['struct', 'byte'],
  'a(y)': [{ arrayOf: 8 }, 'byte'],
  'a{yy}': [{ arrayOf: 8 }, 'byte', 'byte'],
  as: [{ arrayOf: 4 }, 'key'],
  'as, empty': [{ arrayOf: 4 }],
} satisfies Record<string, Step[]>;

export type Level = keyof typeof STEPS;
export type End = keyof typeof ENDS;

export const LEVELS = Object.keys(STEPS) as Level[];
export const ENDINGS = Object.keys(ENDS) as End[];

/** The body, in little-endian byte order. */
export function deepBody(levels: readonly Level[], end: End): Uint8Array {
  const bytes: number[] = [];
  const lengths: { at: number; start: number }[] = [];
  const align = (to: number): void => {
    while (bytes.length % to !== 0) bytes.push(0);
  };
  const write = (signature: string, steps: readonly Step[]): void => {
    bytes.push(signature.length, ...Buffer.from(signature), 0);
    for (const step of steps) {
      if (step === 'struct') align(8);
      else if (step === 'byte') bytes.push(1);
      else if (step === 'key') {
        align(4);
        bytes.push(1, 0, 0, 0, 0x6b, 0);
      } else {
        align(4);
        const at = bytes.length;
        bytes.push(0, 0, 0, 0);
        align(step.arrayOf);
        lengths.push({ at, start: bytes.length });
      }
    }
  };
  for (const level of levels) write(level, STEPS[level]);
  write(end.replace(/,.*/, ''), ENDS[end]);
  const body = Buffer.from(bytes);
  // Every array reaches to the end of the body: nothing follows what is nested.
  for (const { at, start } of lengths) body.writeUInt32LE(body.length - start, at);
  return body;
}
