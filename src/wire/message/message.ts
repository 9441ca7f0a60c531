/**
 * The message and the rules of its header fields (D-Bus specification, "Message Format", "Header Fields").
 * Layer 3: imports lower layers only.
 */
import {
  isBusName,
  isErrorName,
  isInterfaceName,
  isMemberName,
  isObjectPath,
  LOCAL_INTERFACE,
  LOCAL_PATH,
} from '../types/names.js';

/** First byte of a message in little-endian byte order: `l`. */
export const LITTLE_ENDIAN = 0x6c;
/** First byte of a message in big-endian byte order: `B`. */
export const BIG_ENDIAN = 0x42;
/** The one version of the protocol. */
export const PROTOCOL_VERSION = 1;

/** The four types of message. A message of another type (5–255) is valid, and ignored on receipt. */
export const MessageType = { methodCall: 1, methodReturn: 2, error: 3, signal: 4 } as const;

/** Bits of `Message.flags`. Other bits are valid, and ignored on receipt. */
export const MessageFlag = { noReplyExpected: 1, noAutoStart: 2, allowInteractiveAuthorization: 4 } as const;

/** One message, as it is sent and as it was received. */
export interface Message {
  /** One of `MessageType`, or 5–255. */
  readonly type: number;
  /** A mask of `MessageFlag`. */
  readonly flags: number;
  /** 1 to 2^32−1. */
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  /** Serial of the call this is the reply to. */
  readonly replySerial?: number;
  readonly destination?: string;
  readonly sender?: string;
  /** `''` when the body is empty. */
  readonly signature: string;
  /** One value a single complete type of `signature`. */
  readonly body: readonly unknown[];
}

/** A message whose serial its connection is to choose. */
export type UnsentMessage = Omit<Message, 'serial'>;

/** Names of the header fields that are properties of a message. */
export type HeaderFieldName =
  | 'path'
  | 'interface'
  | 'member'
  | 'errorName'
  | 'replySerial'
  | 'destination'
  | 'sender'
  | 'signature';

/** One header field: how it is numbered and typed, and what its value must be. */
export interface HeaderField {
  readonly code: number;
  readonly name: HeaderFieldName;
  readonly type: 'o' | 's' | 'u' | 'g';
  /** Whether a value of the right type is also a right value. */
  readonly isValid: (value: string) => boolean;
}

/**
 * In the order in which GLib writes them: any order is valid, and with this one a message recorded from the commonest
 * peer encodes to the same bytes again.
 */
export const HEADER_FIELDS: readonly HeaderField[] = [
  { code: 7, name: 'sender', type: 's', isValid: isBusName },
  { code: 1, name: 'path', type: 'o', isValid: (path) => path !== LOCAL_PATH && isObjectPath(path) },
  {
    code: 2,
    name: 'interface',
    type: 's',
    isValid: (name) => name !== LOCAL_INTERFACE && isInterfaceName(name),
  },
  { code: 6, name: 'destination', type: 's', isValid: isBusName },
  { code: 4, name: 'errorName', type: 's', isValid: isErrorName },
  { code: 8, name: 'signature', type: 'g', isValid: () => true },
  { code: 3, name: 'member', type: 's', isValid: isMemberName },
  { code: 5, name: 'replySerial', type: 'u', isValid: () => true },
];

/** Code of the header field that counts the file descriptors sent with a message. */
export const UNIX_FDS_FIELD_CODE = 9;

/** Code of the header field that names the container a message comes from, the last that is known. It is checked and ignored. */
export const CONTAINER_INSTANCE_FIELD_CODE = 10;

/** The first header field that a message of `message.type` must have and this one has not. */
export function missingField(message: Pick<Message, 'type'> & Partial<Message>): HeaderFieldName | undefined {
  const { type } = message;
  if (type === MessageType.methodReturn || type === MessageType.error) {
    if (type === MessageType.error && message.errorName === undefined) return 'errorName';
    return message.replySerial === undefined ? 'replySerial' : undefined;
  }
  if (type !== MessageType.methodCall && type !== MessageType.signal) return undefined;
  if (message.path === undefined) return 'path';
  if (type === MessageType.signal && message.interface === undefined) return 'interface';
  return message.member === undefined ? 'member' : undefined;
}

/** Whether `serial` is one: 1 to 2^32−1. */
export function isSerial(serial: unknown): serial is number {
  return typeof serial === 'number' && serial !== 0 && serial >>> 0 === serial;
}
