/**
 * `secretbus/wire`: D-Bus of its own, from bytes to bus. Nothing under it depends on any package.
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
export { Bus, type BusOptions, type NameOptions, type OwnerChange } from './bus/bus.js';
export type { CallOptions, WaitOptions } from './bus/call.js';
export type { ConnectOptions } from './bus/connect-options.js';
export type { Credentials } from './bus/credentials.js';
export type { Environment } from './bus/discovery.js';
export type { SendOptions } from './bus/endpoint.js';
export {
  type AcceptOptions,
  accept,
  type ListenOptions,
  listen,
  type PreparedMechanisms,
  Server,
  type ServerMechanisms,
} from './bus/listen.js';
export {
  type ManagedObject,
  ManagedObjects,
  type ObjectChange,
  watchObjects,
} from './bus/managed-objects.js';
export { type DiscoveryOptions, openBus, sessionBus, systemBus } from './bus/open.js';
export { Connection, connect, type PeerOptions } from './bus/peer.js';
export { PropertyCache, type PropertyChanges, watchProperties } from './bus/property-cache.js';
export type { Proxy, ProxyCallOptions, ProxyMethods, ProxySignal } from './bus/proxy.js';
export { type Reconnection, type ReconnectOptions, reconnecting } from './bus/reconnection.js';
export type {
  CallbackOptions,
  OverflowPolicy,
  Subscription,
  SubscriptionOptions,
} from './bus/subscription.js';
export { marshal } from './codec/marshal.js';
export type { CodecOptions, Endian } from './codec/options.js';
export { unmarshal } from './codec/unmarshal.js';
export { Variant } from './codec/variant.js';
export { publishDiagnostics } from './connection/link-events.js';
export { Recorder, type RecorderOptions } from './diagnostics/recorder.js';
export { type Address, escapeAddressValue, formatAddress, parseAddress } from './handshake/address.js';
export type { SaslMechanismName, SaslResult, SaslStep } from './handshake/sasl.js';
export {
  type CookieChallenge,
  type CookieMechanism,
  SaslClient,
  type SaslClientOptions,
  type SaslMechanism,
} from './handshake/sasl-client.js';
export {
  type CookieAttempt,
  SaslServer,
  type SaslServerMechanism,
  type SaslServerOptions,
} from './handshake/sasl-server.js';
export { defineInterface } from './interface/define-interface.js';
export type {
  Annotations,
  EmitsChanged,
  InterfaceDefinition,
  Introspection,
  MethodDefinition,
  PropertyDefinition,
  SignalDefinition,
} from './interface/definition.js';
export { formatIntrospection } from './interface/format-introspection.js';
export { type IgnoredPart, type ParsedIntrospection, parseIntrospection } from './interface/introspection.js';
export type {
  MethodArguments,
  MethodHandlers,
  MethodName,
  MethodResult,
  PropertyArgument,
  PropertyName,
  PropertyValue,
  SignalArguments,
  SignalName,
  SignalValues,
} from './interface/typed.js';
export { MatchRule, type MatchRuleFields } from './match/match-rule.js';
export {
  type BodyOptions,
  errorReply,
  type MethodCallOptions,
  methodCall,
  methodReturn,
  type SignalOptions,
  signal,
} from './message/builders.js';
export { decodeMessage } from './message/decode.js';
export { encodeMessage } from './message/encode.js';
export { type Message, MessageFlag, MessageType, type UnsentMessage } from './message/message.js';
export { MessageParser } from './message/parser.js';
export { ErrorName } from './objects/error-names.js';
export type { EmitOptions, ExportedObject, ExportOptions } from './objects/exported-object.js';
export { type ImplementationParts, implement, objectManager } from './objects/implement.js';
export type { Implementation, IncomingCall } from './objects/implementation.js';
export { MethodError, type MethodErrorOptions } from './objects/method-error.js';
export type { ErrorPlace } from './objects/property-values.js';
export { cookieMechanism } from './transport/cookie-keyring.js';
export { CookieKeyring, type PreparedCookie } from './transport/cookie-server.js';
export { createMemoryPair } from './transport/memory.js';
export type { Transport, TransportHandlers } from './transport/transport.js';
export { whenAborted } from './transport/when-aborted.js';
export type {
  ArgumentsOf,
  CheckedSignature,
  InvalidSignature,
  ResultOf,
  SingleValueOf,
  ValuesOf,
} from './types/infer.js';
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
