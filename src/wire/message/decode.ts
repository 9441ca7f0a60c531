/**
 * Bytes to message, every rule of the header checked (D-Bus specification, "Message Format").
 * Layer 3: imports lower layers only.
 */
import { ProtocolError } from '../base/errors.js';
import { FIXED_HEADER_BYTE_LENGTH, MAX_ARRAY_BYTE_LENGTH, MAX_MESSAGE_BYTE_LENGTH } from '../base/limits.js';
import { faultIn, plainBytes, Reader, UnmarshalFault } from '../codec/reader.js';
import { unmarshalFrom, unmarshalVariant } from '../codec/unmarshal.js';
import {
  BIG_ENDIAN,
  CONTAINER_INSTANCE_FIELD_CODE,
  HEADER_FIELDS,
  type HeaderField,
  LITTLE_ENDIAN,
  type Message,
  missingField,
  PROTOCOL_VERSION,
  UNIX_FDS_FIELD_CODE,
} from './message.js';

const FIELDS_BY_CODE: readonly (HeaderField | undefined)[] = Array.from({ length: 9 }, (_, code) =>
  HEADER_FIELDS.find((field) => field.code === code),
);

/** What the first 16 bytes tell. Both lengths are within their limits, and so is their sum. */
export interface FixedHeader {
  readonly littleEndian: boolean;
  /** Where the array of header fields ends. */
  readonly fieldsEnd: number;
  /** Where the body starts: `fieldsEnd` and its padding. */
  readonly bodyStart: number;
  /** Length of the whole message. */
  readonly byteLength: number;
}

function readUint32(bytes: Uint8Array, at: number, littleEndian: boolean): number {
  const a = bytes[at] as number;
  const b = bytes[at + 1] as number;
  const c = bytes[at + 2] as number;
  const d = bytes[at + 3] as number;
  return (littleEndian ? a | (b << 8) | (c << 16) | (d << 24) : (a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/**
 * Reads the lengths from the first 16 bytes of a message, so that a forged one is refused before anything is buffered.
 * @throws {ProtocolError} `bad-endian`, `bad-version`, `bad-type`, `bad-serial`, `array-too-long` or `message-too-long`
 */
export function readFixedHeader(bytes: Uint8Array): FixedHeader {
  const endian = bytes[0];
  if (endian !== LITTLE_ENDIAN && endian !== BIG_ENDIAN)
    throw new ProtocolError('bad-endian', 'neither `l` nor `B`', 0);
  if (bytes[1] === 0) throw new ProtocolError('bad-type', 'the type of a message is not 0', 1);
  if (bytes[3] !== PROTOCOL_VERSION)
    throw new ProtocolError('bad-version', 'the protocol version is not 1', 3);
  const littleEndian = endian === LITTLE_ENDIAN;
  const bodyByteLength = readUint32(bytes, 4, littleEndian);
  if (readUint32(bytes, 8, littleEndian) === 0) throw new ProtocolError('bad-serial', 'the serial is 0', 8);
  const fieldsByteLength = readUint32(bytes, 12, littleEndian);
  if (fieldsByteLength > MAX_ARRAY_BYTE_LENGTH) {
    throw new ProtocolError('array-too-long', 'the header fields are too long', 12);
  }
  // Sums of doubles: unlike 32-bit integers, these cannot wrap to a small number.
  const fieldsEnd = FIXED_HEADER_BYTE_LENGTH + fieldsByteLength;
  const bodyStart = Math.ceil(fieldsEnd / 8) * 8;
  const byteLength = bodyStart + bodyByteLength;
  if (byteLength > MAX_MESSAGE_BYTE_LENGTH) {
    throw new ProtocolError('message-too-long', `more than ${MAX_MESSAGE_BYTE_LENGTH} bytes`, 4);
  }
  return { littleEndian, fieldsEnd, bodyStart, byteLength };
}

type MutableMessage = { -readonly [Key in keyof Message]: Message[Key] };

/** Reads the signature of the variant that holds the value of a field, which must be of the type that the field has. */
function expectFieldType(reader: Reader, type: string, name: string): void {
  if (reader.skipTypeCode(type.charCodeAt(0))) return;
  const start = reader.position;
  reader.signature();
  reader.fail('header-field-type', `the header field ${name} is not of type ${type}`, start);
}

/** Reads the value of a known field that is text, which stands in a variant of the type that the field has. */
function readText(reader: Reader, field: HeaderField): string {
  expectFieldType(reader, field.type, field.name);
  const start = reader.position;
  return (
    reader.name(field.code, field.isValid) ?? reader.fail('bad-name', `not a valid ${field.name}`, start)
  );
}

function readReplySerial(reader: Reader): number {
  expectFieldType(reader, 'u', 'replySerial');
  const serial = reader.uint32();
  if (serial === 0) reader.fail('bad-serial', 'the reply serial is 0', reader.position - 4);
  return serial;
}

function readSignature(reader: Reader): string {
  expectFieldType(reader, 'g', 'signature');
  return reader.signature();
}

/** A count of 0 is harmless. Any other promises descriptors that no transport of Node's can have delivered. */
function readUnixFds(reader: Reader): void {
  const start = reader.position;
  expectFieldType(reader, 'u', 'unix fds');
  if (reader.uint32() !== 0) {
    reader.fail('unix-fds', 'file descriptors are announced that did not come', start);
  }
}

/** The array of header fields and the structs in it lie around the variant that holds a value. */
const FIELD_VALUE_DEPTH = 2;

function readFields(reader: Reader, fieldsEnd: number, message: MutableMessage): void {
  let seen = 0;
  while (reader.position < fieldsEnd) {
    reader.align(8);
    const start = reader.position;
    const code = reader.byte();
    if (code === 0) reader.fail('header-field-invalid', 'header field 0 is not valid', start);
    if (code > CONTAINER_INSTANCE_FIELD_CODE) {
      // Fields of later versions are ignored, but must be well formed, since what follows hangs on their length.
      unmarshalVariant(reader, FIELD_VALUE_DEPTH);
      continue;
    }
    if (((seen >> code) & 1) === 1) reader.fail('header-field-twice', 'a header field comes twice', start);
    seen |= 1 << code;
    readKnownField(reader, code, message);
  }
  if (reader.position !== fieldsEnd) {
    reader.fail('array-length-mismatch', 'the header fields end inside a field', fieldsEnd);
  }
  reader.align(8);
}

/** Each field is set by its own name: a store to a computed name costs as much again as all else that a header needs. */
function readKnownField(reader: Reader, code: number, message: MutableMessage): void {
  const field = FIELDS_BY_CODE[code] as HeaderField;
  switch (code) {
    case 1:
      message.path = readText(reader, field);
      break;
    case 2:
      message.interface = readText(reader, field);
      break;
    case 3:
      message.member = readText(reader, field);
      break;
    case 4:
      message.errorName = readText(reader, field);
      break;
    case 5:
      message.replySerial = readReplySerial(reader);
      break;
    case 6:
      message.destination = readText(reader, field);
      break;
    case 7:
      message.sender = readText(reader, field);
      break;
    case 8:
      message.signature = readSignature(reader);
      break;
    case UNIX_FDS_FIELD_CODE:
      readUnixFds(reader);
      break;
    default:
      expectFieldType(reader, 'o', 'container instance');
      reader.objectPath();
  }
}

/**
 * Decodes exactly one message. Unknown types, flags and header fields are accepted, as the specification wants.
 * @throws {ProtocolError} as `readFixedHeader` and `unmarshal`, and `header-field-invalid`, `header-field-type`,
 * `header-field-twice`, `header-field-missing`, `bad-name`, `unix-fds`
 * @throws {DBusError} `invalid-bytes`
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const plain = plainBytes(bytes);
  if (plain.length < FIXED_HEADER_BYTE_LENGTH) {
    throw new ProtocolError('truncated', 'a message has at least 16 bytes', plain.length);
  }
  const header = readFixedHeader(plain);
  if (plain.length !== header.byteLength) {
    const code = plain.length < header.byteLength ? 'truncated' : 'leftover-bytes';
    throw new ProtocolError(code, `the header promises ${header.byteLength} bytes`, plain.length);
  }
  return decodeWhole(plain, header);
}

/** Stands for the body until that is read. */
const NO_VALUES: readonly unknown[] = [];

/** Decodes `bytes`, which are plain, and one whole message with this fixed header. @throws {ProtocolError} as `decodeMessage` */
export function decodeWhole(bytes: Uint8Array, header: FixedHeader): Message {
  const reader = new Reader(bytes, header.littleEndian, 0, 8);
  const message: MutableMessage = {
    type: bytes[1] as number,
    flags: bytes[2] as number,
    serial: reader.uint32(),
    signature: '',
    body: NO_VALUES,
  };
  reader.position = FIXED_HEADER_BYTE_LENGTH;
  try {
    try {
      readFields(reader, header.fieldsEnd, message);
    } catch (error) {
      throw faultIn(error, 'header');
    }
    const missing = missingField(message);
    if (missing !== undefined) {
      reader.fail('header-field-missing', `a message of type ${message.type} needs ${missing}`);
    }
    message.body = unmarshalFrom(reader, message.signature);
  } catch (error) {
    throw error instanceof UnmarshalFault ? error.toProtocolError() : error;
  }
  return message;
}
