/**
 * Message to bytes, header and body in one buffer (D-Bus specification, "Message Format").
 * Layer 3: imports lower layers only.
 */
import { MarshalError } from '../base/errors.js';
import { marshalInto, toMarshalError } from '../codec/marshal.js';
import { type Endian, isLittleEndian } from '../codec/options.js';
import { Writer } from '../codec/writer.js';
import {
  BIG_ENDIAN,
  HEADER_FIELDS,
  type HeaderField,
  isSerial,
  LITTLE_ENDIAN,
  type Message,
  missingField,
  PROTOCOL_VERSION,
  type UnsentMessage,
} from './message.js';

function invalid(path: string, detail: string): MarshalError {
  return new MarshalError('invalid-message', detail, path);
}

function isByte(value: unknown): value is number {
  return typeof value === 'number' && (value & 0xff) === value;
}

function writeField(writer: Writer, field: HeaderField, value: unknown): void {
  writer.align(8);
  writer.byte(field.code);
  writer.typeCode(field.type.charCodeAt(0));
  if (field.type === 'u') {
    if (!isSerial(value)) throw invalid(field.name, 'expected a serial, 1 to 4294967295');
    writer.uint32(value);
    return;
  }
  if (typeof value !== 'string' || !field.isValid(value))
    throw invalid(field.name, `not a valid ${field.name}`);
  if (field.type === 'g') writer.signature(value);
  else writer.string(value);
}

/**
 * Encodes a message; what comes out is valid, since a peer disconnects whoever sends what is not.
 * @param options - `endian` defaults to `'little'`.
 * @returns bytes in a buffer that belongs to nobody else, and is at most twice as long.
 * @throws {MarshalError} `invalid-message` for a header field that is missing or wrong (`path` is its name), else as
 * `marshal` for the body (`path` starts with `body`), or `unix-fds` when it holds an index of a file descriptor.
 * @throws {InvalidTextError} `invalid-signature`
 * @throws {DBusError} `invalid-endian`
 */
export function encodeMessage(
  message: Message,
  options: { endian?: Endian | undefined } = {},
): Uint8Array<ArrayBuffer> {
  return writeMessage(message, message.serial, options.endian).finish(0);
}

/** As {@link encodeMessage}, of a message whose serial its connection has chosen, into a writer. */
export function writeMessage(message: UnsentMessage, serial: number, endian?: Endian): Writer {
  const { type, flags, signature, body } = message;
  if (!isByte(type) || type === 0) throw invalid('type', 'expected an integer from 1 to 255');
  if (!isByte(flags)) throw invalid('flags', 'expected an integer from 0 to 255');
  if (!isSerial(serial)) throw invalid('serial', 'expected an integer from 1 to 4294967295');
  const missing = missingField(message);
  if (missing !== undefined) throw invalid(missing, `a message of type ${type} must have it`);
  const littleEndian = isLittleEndian(endian);
  const writer = Writer.begin(littleEndian);
  writer.byte(littleEndian ? LITTLE_ENDIAN : BIG_ENDIAN);
  writer.byte(type);
  writer.byte(flags);
  writer.byte(PROTOCOL_VERSION);
  writer.uint32(0);
  const bodyLengthAt = writer.position - 4;
  writer.uint32(serial);
  try {
    const fieldsLengthAt = writer.beginArray(8);
    const fieldsStart = writer.position;
    for (const field of HEADER_FIELDS) {
      const value = message[field.name];
      if (value === undefined || (field.type === 'g' && value === '')) continue;
      writeField(writer, field, value);
    }
    writer.endArray(fieldsLengthAt, fieldsStart);
    writer.align(8);
    const bodyStart = writer.position;
    marshalInto(writer, signature, body);
    writer.view.setUint32(bodyLengthAt, writer.position - bodyStart, littleEndian);
  } catch (error) {
    throw toMarshalError(error);
  }
  if (writer.hasDescriptors) {
    throw new MarshalError('unix-fds', 'no file descriptors can be sent', 'body');
  }
  return writer;
}
