/**
 * Messages of the four types, all but the serial, which belongs to the connection that sends them (D-Bus specification,
 * "Message Types"). Nothing is checked here: encoding does. Layer 3: imports lower layers only.
 */
import { type Message, MessageFlag, MessageType, type UnsentMessage } from './message.js';

/** What a message carries: both, or neither. */
export interface BodyOptions {
  /** Default `''`. */
  signature?: string | undefined;
  /** One value a single complete type of `signature`; default none. */
  body?: readonly unknown[] | undefined;
}

/** Which method is called, of whom, and how. */
export interface MethodCallOptions extends BodyOptions {
  /** Absent where there is no bus. */
  destination?: string | undefined;
  path: string;
  /** Absent when the object may choose among its interfaces. */
  interface?: string | undefined;
  member: string;
  /** Whether the object must not reply; default false. */
  noReply?: boolean | undefined;
  /** Whether the bus must not start a service for the call; default false. */
  noAutoStart?: boolean | undefined;
  /** Whether the user may be asked to authorize the call, however long that takes; default false. */
  allowInteractiveAuthorization?: boolean | undefined;
}

/** Which signal is emitted, by which object. */
export interface SignalOptions extends BodyOptions {
  /** Absent when it is for all whose match rules fit. */
  destination?: string | undefined;
  path: string;
  interface: string;
  member: string;
}

type Mutable = { -readonly [Key in keyof UnsentMessage]: UnsentMessage[Key] };

/** A field that is undefined stays out of the message. */
function begin(type: number, flags: number, destination: string | undefined, options: BodyOptions): Mutable {
  const message: Mutable = { type, flags, signature: options.signature ?? '', body: options.body ?? [] };
  if (destination !== undefined) message.destination = destination;
  return message;
}

/** A METHOD_CALL. */
export function methodCall(options: MethodCallOptions): UnsentMessage {
  const flags =
    (options.noReply === true ? MessageFlag.noReplyExpected : 0) |
    (options.noAutoStart === true ? MessageFlag.noAutoStart : 0) |
    (options.allowInteractiveAuthorization === true ? MessageFlag.allowInteractiveAuthorization : 0);
  const message = begin(MessageType.methodCall, flags, options.destination, options);
  message.path = options.path;
  if (options.interface !== undefined) message.interface = options.interface;
  message.member = options.member;
  return message;
}

/** Whom to answer, and what. */
type Call = Pick<Message, 'serial'> & { readonly sender?: string | undefined };

/** The METHOD_RETURN to a call that was received. Nobody replies to a reply, which its flag says. */
export function methodReturn(call: Call, options: BodyOptions = {}): UnsentMessage {
  const message = begin(MessageType.methodReturn, MessageFlag.noReplyExpected, call.sender, options);
  message.replySerial = call.serial;
  return message;
}

/**
 * The ERROR to a call that was received, of a name such as `org.freedesktop.DBus.Error.Failed`. By convention its first
 * argument is a text for people.
 */
export function errorReply(call: Call, errorName: string, options: BodyOptions = {}): UnsentMessage {
  const message = begin(MessageType.error, MessageFlag.noReplyExpected, call.sender, options);
  message.errorName = errorName;
  message.replySerial = call.serial;
  return message;
}

/** A SIGNAL. Nobody replies to it, which its flag says. */
export function signal(options: SignalOptions): UnsentMessage {
  const message = begin(MessageType.signal, MessageFlag.noReplyExpected, options.destination, options);
  message.path = options.path;
  message.interface = options.interface;
  message.member = options.member;
  return message;
}
