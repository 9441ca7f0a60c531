/**
 * Messages put together byte by byte, from the specification and by none of the libraries compared: so they may be wrong
 * wherever a check wants them to be.
 */

export const FIELD = {
  path: 1,
  interface: 2,
  member: 3,
  errorName: 4,
  replySerial: 5,
  destination: 6,
  sender: 7,
  signature: 8,
};
const FIELD_TYPES = ['', 'o', 's', 's', 's', 'u', 's', 's', 'g'];
export const TYPE = { methodCall: 1, methodReturn: 2, error: 3, signal: 4 };

/** Bytes with alignment counted from the first of them. */
export class Bytes {
  /** @param {boolean} [big] */
  constructor(big = false) {
    this.big = big;
    /** @type {number[]} */
    this.bytes = [];
  }

  /** @param {number} alignment @param {number} [padding] */
  align(alignment, padding = 0) {
    while (this.bytes.length % alignment !== 0) this.bytes.push(padding);
    return this;
  }

  /** @param {...number} values */
  u8(...values) {
    this.bytes.push(...values);
    return this;
  }

  /** @param {number} value @param {number} [padding] */
  u32(value, padding = 0) {
    this.align(4, padding);
    const bytes = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
    return this.u8(...(this.big ? bytes : bytes.toReversed()));
  }

  /** @param {bigint} value */
  u64(value) {
    this.align(8);
    const buffer = Buffer.alloc(8);
    if (this.big) buffer.writeBigUInt64BE(value);
    else buffer.writeBigUInt64LE(value);
    return this.u8(...buffer);
  }

  /** @param {number} value */
  double(value) {
    const buffer = Buffer.alloc(8);
    buffer.writeDoubleBE(value);
    return this.u64(buffer.readBigUInt64BE());
  }

  /** @param {string | Uint8Array} text */
  string(text) {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    return this.u32(bytes.length).u8(...bytes, 0);
  }

  /** @param {string} text */
  signature(text) {
    return this.u8(text.length, ...Buffer.from(text), 0);
  }

  get buffer() {
    return Buffer.from(this.bytes);
  }
}

/**
 * @typedef {object} Frame
 * @property {number} type
 * @property {number} [flags]
 * @property {number} [version]
 * @property {number} [serial]
 * @property {boolean} [big]
 * @property {Record<string, string | number>} fields by name of `FIELD`
 * @property {(header: Bytes) => void} [moreFields] writes further fields itself
 * @property {Uint8Array} [body]
 * @property {number} [bodyLength] what the header says of it, if not the truth
 */

/** @param {Frame} frame @returns {Buffer} */
export function encodeFrame({
  type,
  flags = 1,
  version = 1,
  serial = 7,
  big = false,
  fields,
  moreFields,
  ...rest
}) {
  const body = rest.body ?? new Uint8Array();
  const header = new Bytes(big).u8(big ? 0x42 : 0x6c, type, flags, version);
  header
    .u32(rest.bodyLength ?? body.length)
    .u32(serial)
    .u32(0);
  for (const [name, value] of Object.entries(fields)) {
    const code = FIELD[/** @type {keyof typeof FIELD} */ (name)];
    const fieldType = /** @type {string} */ (FIELD_TYPES[code]);
    header.align(8).u8(code).signature(fieldType);
    if (fieldType === 'u') header.u32(Number(value));
    else if (fieldType === 'g') header.signature(String(value));
    else header.string(String(value));
  }
  moreFields?.(header);
  const { buffer } = header;
  const length = buffer.length - 16;
  if (big) buffer.writeUInt32BE(length, 12);
  else buffer.writeUInt32LE(length, 12);
  return Buffer.concat([buffer, Buffer.alloc((8 - (buffer.length % 8)) % 8), body]);
}

/**
 * @typedef {object} Received
 * @property {number} type
 * @property {number} flags
 * @property {number} serial
 * @property {Record<string, any>} fields
 * @property {boolean} big
 * @property {Buffer} body as it came
 */

/** Takes whole messages off the front of what has come. @param {Buffer} bytes @returns {{ messages: Received[], rest: Buffer }} */
export function readFrames(bytes) {
  /** @type {Received[]} */
  const messages = [];
  let rest = bytes;
  while (rest.length >= 16) {
    const big = rest[0] === 0x42;
    const at = (/** @type {number} */ offset) =>
      big ? rest.readUInt32BE(offset) : rest.readUInt32LE(offset);
    const bodyStart = (16 + at(12) + 7) & ~7;
    const end = bodyStart + at(4);
    if (rest.length < end) break;
    /** @type {Record<string, any>} */
    const fields = {};
    for (let offset = 16; offset < 16 + at(12); ) {
      offset = (offset + 7) & ~7;
      const code = rest[offset];
      const type = String.fromCharCode(/** @type {number} */ (rest[offset + 2]));
      offset += 4;
      const name = Object.keys(FIELD)[/** @type {number} */ (code) - 1] ?? `field${code}`;
      if (type === 'u') {
        fields[name] = at(offset);
        offset += 4;
      } else {
        const length = type === 'g' ? /** @type {number} */ (rest[offset]) : at(offset);
        offset += type === 'g' ? 1 : 4;
        fields[name] = rest.toString('utf8', offset, offset + length);
        offset += length + 1;
      }
    }
    const [, type = 0, flags = 0] = rest;
    messages.push({
      type,
      flags,
      serial: at(8),
      fields,
      big,
      body: Buffer.from(rest.subarray(bodyStart, end)),
    });
    rest = rest.subarray(end);
  }
  return { messages, rest };
}
