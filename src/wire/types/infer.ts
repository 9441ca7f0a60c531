/**
 * The types of values, inferred from a literal signature (D-Bus specification, "Type System"). Nothing here is left at run
 * time. Layer 1: imports nothing.
 *
 * The signature is read as a stack machine reads it, one tail call a character, so that neither its length nor its nesting
 * meets the compiler's limit on recursion and the work grows with the length alone.
 */

/** The class `Variant`, which is a layer above: classes without private members are their shape to the compiler. */
interface Variant {
  readonly signature: string;
  readonly value: unknown;
}

declare const reason: unique symbol;

/** Stands where a literal signature is not valid: nothing can be given for it, and `Reason` says what is wrong. */
export interface InvalidSignature<Reason extends string> {
  readonly [reason]: Reason;
}

/** Named, so that the compiler makes one type of it and not one a mention. */
type Bytes = Uint8Array;

/** Basic types as they are read. */
interface BasicValues {
  y: number;
  b: boolean;
  n: number;
  q: number;
  i: number;
  u: number;
  x: bigint;
  t: bigint;
  d: number;
  s: string;
  o: string;
  g: string;
  h: number;
}

/** Basic types as they may be written: an integer of 64 bits may be a safe integer too. */
interface BasicArguments extends Omit<BasicValues, 'x' | 't'> {
  x: bigint | number;
  t: bigint | number;
}

/** Whether values are read or written. */
type Mode = 'read' | 'write';

type BasicOf<Code extends keyof BasicValues, M extends Mode> = M extends 'read'
  ? BasicValues[Code]
  : BasicArguments[Code];
type ArrayOf<Item, M extends Mode> = M extends 'read' ? Item[] : readonly Item[];
type StructOf<Items extends unknown[], M extends Mode> = M extends 'read' ? Items : Readonly<Items>;
type DictOf<Key extends keyof BasicValues, Item, M extends Mode> = M extends 'read'
  ? Map<BasicValues[Key], Item>
  : ReadonlyMap<BasicArguments[Key], Item> | PlainDictOf<Key, Item>;
type PlainDictOf<Key extends keyof BasicValues, Item> = Key extends 's' | 'o' | 'g'
  ? Readonly<Record<string, Item>>
  : never;

/** What goes wrong gives one value that nothing fits. */
type Fault<Reason extends string> = [InvalidSignature<Reason>];

/** Counts nesting: a tuple as long as the count. */
type Count = readonly 0[];

/**
 * One character. `Items` are the types complete so far in the innermost struct, dict entry or body; `Stack` is what is open:
 * `['a', below, arrays]`, `['(', below, items, structs]`, `['{', below, items, arrays, key]` or null at the bottom, each
 * with what was current before it was opened.
 */
type Read<
  S extends string,
  M extends Mode,
  Items extends unknown[],
  Stack,
  Arrays extends Count,
  Structs extends Count,
> = S extends `${infer Code}${infer Rest}`
  ? Code extends keyof BasicValues
    ? Complete<BasicOf<Code, M>, Rest, M, Items, Stack, Arrays, Structs>
    : Code extends 'a'
      ? Arrays['length'] extends 32
        ? Fault<'more than 32 nested arrays'>
        : Rest extends `y${infer After}`
          ? Complete<Bytes, After, M, Items, Stack, Arrays, Structs>
          : Rest extends `{${infer Key}${infer After}`
            ? Key extends keyof BasicValues
              ? Read<After, M, [], ['{', Stack, Items, Arrays, Key], [...Arrays, 0], Structs>
              : Fault<'the key of a dict entry must be of a basic type'>
            : Read<Rest, M, Items, ['a', Stack, Arrays], [...Arrays, 0], Structs>
      : Code extends 'v'
        ? Complete<Variant, Rest, M, Items, Stack, Arrays, Structs>
        : Code extends '('
          ? Structs['length'] extends 32
            ? Fault<'more than 32 nested structs'>
            : Read<Rest, M, [], ['(', Stack, Items, Structs], Arrays, [...Structs, 0]>
          : Code extends ')'
            ? Stack extends ['(', infer Below, infer Outer extends unknown[], infer Before extends Count]
              ? Items extends []
                ? Fault<'a struct without fields'>
                : Complete<StructOf<Items, M>, Rest, M, Outer, Below, Arrays, Before>
              : Fault<'a ) that closes no struct'>
            : Code extends '}'
              ? CloseDict<Rest, M, Items, Stack, Structs>
              : Code extends '{'
                ? Fault<'a dict entry that is not the element of an array'>
                : string extends Code
                  ? unknown[]
                  : Fault<`${Code} is not a type code`>
  : S extends ''
    ? Stack extends null
      ? Items
      : Fault<'it ends inside a type'>
    : unknown[];

/** The `}` after `Items`. */
type CloseDict<
  S extends string,
  M extends Mode,
  Items extends unknown[],
  Stack,
  Structs extends Count,
> = Stack extends [
  '{',
  infer Below,
  infer Outer extends unknown[],
  infer Before extends Count,
  infer Key extends keyof BasicValues,
]
  ? Items extends [infer Item]
    ? Complete<DictOf<Key, Item, M>, S, M, Outer, Below, Before, Structs>
    : Fault<'a dict entry holds exactly two types'>
  : Fault<'a } that closes no dict entry'>;

/** One type is complete, and with it every array that waits for its element. */
type Complete<
  T,
  S extends string,
  M extends Mode,
  Items extends unknown[],
  Stack,
  Arrays extends Count,
  Structs extends Count,
> = Stack extends ['a', infer Below, infer Before extends Count]
  ? Complete<ArrayOf<T, M>, S, M, Items, Below, Before, Structs>
  : Read<S, M, [...Items, T], Stack, Arrays, Structs>;

/** Whether there are 256 characters or more: 16 are taken off at a time, 16 times. */
type IsTooLong<S extends string, Taken extends Count = []> = Taken['length'] extends 16
  ? true
  : S extends `${infer _0}${infer _1}${infer _2}${infer _3}${infer _4}${infer _5}${infer _6}${infer _7}${infer _8}${infer _9}${infer _10}${infer _11}${infer _12}${infer _13}${infer _14}${infer _15}${infer Rest}`
    ? IsTooLong<Rest, [...Taken, 0]>
    : false;

type Infer<S extends string, M extends Mode> =
  IsTooLong<S> extends true ? Fault<'longer than 255 bytes'> : Read<S, M, [], null, [], []>;

/**
 * The values that `signature` stands for, as they are read: a tuple with one a single complete type. An invalid literal gives
 * a tuple of one {@link InvalidSignature}; a `string` not known at compile time gives `unknown[]`.
 */
export type ValuesOf<Signature extends string> = Signature extends string
  ? string extends Signature
    ? unknown[]
    : Infer<Signature, 'read'>
  : never;

/**
 * The same as they may be written: arrays and tuples may be readonly, an integer of 64 bits may be a safe integer, a dict with
 * keys of s, o or g may be a plain object.
 */
export type ArgumentsOf<Signature extends string> = Signature extends string
  ? string extends Signature
    ? readonly unknown[]
    : Readonly<Infer<Signature, 'write'>>
  : never;

/** The signature itself if it is valid or not known at compile time, else what nothing fits and says why. */
export type CheckedSignature<Signature extends string> = Signature extends string
  ? ValuesOf<Signature> extends [infer Wrong extends InvalidSignature<string>]
    ? Wrong
    : Signature
  : never;

/** The only one of some values. */
type Only<Items extends readonly unknown[]> = Items extends readonly [infer One]
  ? One
  : number extends Items['length']
    ? unknown
    : InvalidSignature<'not exactly one complete type'>;

/** The value of a signature that is one single complete type, as it is read. */
export type SingleValueOf<Signature extends string> = Only<ValuesOf<Signature>>;

/** The value of a signature that is one single complete type, as it may be written. */
export type SingleArgumentOf<Signature extends string> = Only<ArgumentsOf<Signature>>;

/** Nothing for none, the value for one, all for several. */
type Result<Items extends readonly unknown[]> = Items extends readonly []
  ? void
  : Items extends readonly [infer One]
    ? One
    : number extends Items['length']
      ? unknown
      : Items;

/**
 * What a method that replies with `signature` gives its caller: nothing for `''`, the value of one complete type, a tuple for
 * several. A `string` not known at compile time gives `unknown`.
 */
export type ResultOf<Signature extends string> = Result<ValuesOf<Signature>>;

/** What a handler of a method that replies with `signature` returns: the same, as it may be written. */
export type ArgumentsResultOf<Signature extends string> = Result<ArgumentsOf<Signature>>;
