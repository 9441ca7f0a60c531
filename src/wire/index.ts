/**
 * `secretbus/wire`: a D-Bus client of its own, from bytes to bus. Nothing under it depends on any package.
 */
export {
  AuthError,
  CancelledError,
  ClosedError,
  ConnectError,
  DBusError,
  DeadlineError,
  ErrorReply,
  InvalidTextError,
  MarshalError,
  OverloadError,
  ProtocolError,
  ReplySignatureError,
} from './base/errors.js';
export {
  Bus,
  type BusOptions,
  type CallOptions,
  type DiscoveryOptions,
  openBus,
  sessionBus,
  systemBus,
} from './bus/bus.js';
export type { Environment } from './bus/discovery.js';
export { marshal } from './codec/marshal.js';
export type { CodecOptions, Endian } from './codec/options.js';
export { unmarshal } from './codec/unmarshal.js';
export { Variant } from './codec/variant.js';
export type { WaitOptions } from './connection/connection.js';
export { type Address, parseAddress } from './handshake/address.js';
export { SaslClient, type SaslMechanism, type SaslStep } from './handshake/sasl-client.js';
export { decodeMessage } from './message/decode.js';
export { encodeMessage } from './message/encode.js';
export { type Message, MessageFlag, MessageType } from './message/message.js';
export { MessageParser } from './message/parser.js';
export { createMemoryPair } from './transport/memory.js';
export type { Transport, TransportHandlers } from './transport/transport.js';
export {
  isBusName,
  isErrorName,
  isInterfaceName,
  isMemberName,
  isObjectPath,
  isUniqueName,
  isWellKnownName,
} from './types/names.js';
export { isSignature, parseSignature, type Type, type TypeCode } from './types/signature.js';
