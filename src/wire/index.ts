export { parseSignature } from './types/signature.js';
export { Variant } from './codec/variant.js';
export { marshal } from './codec/marshal.js';
export { unmarshal } from './codec/unmarshal.js';
export { encodeMessage } from './message/encode.js';
export { decodeMessage } from './message/decode.js';
export { MessageParser } from './message/parser.js';
export type { Message } from './message/message.js';
export { ProtocolError } from './base/errors.js';
