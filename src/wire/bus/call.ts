/**
 * One method call: what the caller says of it, the message it makes, and the values of its reply.
 * Layer 8: imports lower layers only.
 */
import { ErrorReply, ReplySignatureError } from '../base/errors.js';
import { checkTimeout } from '../connection/deadline.js';
import type { Link } from '../connection/link.js';
import { type Message, MessageFlag, MessageType, type UnsentMessage } from '../message/message.js';
import type { ArgumentsOf, ValuesOf } from '../types/infer.js';

/** How a call waits. */
export interface WaitOptions {
  /** Time to wait for the reply, in milliseconds; default the `callTimeoutMs` of the connection. */
  timeoutMs?: number | undefined;
  /** Stops the wait. The call itself cannot be called back. */
  signal?: AbortSignal | undefined;
}

/** One method call. The types of `body` and of the result follow from the signatures, where these are literals. */
export interface CallOptions<Signature extends string = string, ReplySignature extends string = string>
  extends WaitOptions {
  /** Unique or well-known name of the one to call; only a connection without a bus needs none. */
  destination?: string | undefined;
  path: string;
  interface?: string | undefined;
  member: string;
  /** Signature of the arguments; default `''`, none. */
  signature?: Signature | undefined;
  /** The arguments, one a single complete type of `signature`. */
  body?: ArgumentsOf<Signature> | undefined;
  /** Signature that the reply must have; when absent, any will do. */
  replySignature?: ReplySignature | undefined;
  /** Do not start the destination when it is not running. */
  noAutoStart?: boolean | undefined;
  /** The destination may ask a person, and the caller is prepared to wait that long. */
  allowInteractiveAuthorization?: boolean | undefined;
  /** Neither the call nor its reply is to be recorded. */
  sensitive?: boolean | undefined;
}

/** The message of a call. @throws nothing: what is wrong in it is found when it is encoded */
function callMessage(options: CallOptions): UnsentMessage {
  let flags = 0;
  if (options.noAutoStart === true) flags |= MessageFlag.noAutoStart;
  if (options.allowInteractiveAuthorization === true) flags |= MessageFlag.allowInteractiveAuthorization;
  // All fields at all times: objects of one shape are faster to read, and undefined ones are left out by the encoder.
  return {
    type: MessageType.methodCall,
    flags,
    path: options.path,
    interface: options.interface,
    member: options.member,
    destination: options.destination,
    signature: options.signature ?? '',
    body: options.body ?? [],
  } as UnsentMessage;
}

/** The values of a reply. @throws {ErrorReply} | {ReplySignatureError} */
function valuesOf<ReplySignature extends string>(
  reply: Message,
  replySignature: ReplySignature | undefined,
): ValuesOf<ReplySignature> {
  if (reply.type === MessageType.error) throw new ErrorReply(reply.errorName as string, reply.body);
  if (replySignature !== undefined && reply.signature !== replySignature) {
    throw new ReplySignatureError(replySignature, reply.signature);
  }
  return reply.body as ValuesOf<ReplySignature>;
}

/**
 * Calls over `link`; `take` makes the result of the values before any later message is looked at, and is code of ours.
 * @throws as {@link Link.call}, and {DBusError} `invalid-timeout`
 */
export function callOver<ReplySignature extends string, Result>(
  link: Link,
  options: CallOptions<string, ReplySignature>,
  defaultTimeoutMs: number,
  take: (values: ValuesOf<ReplySignature>) => Result,
): Promise<Result> {
  const { destination, replySignature, signal, sensitive = false } = options;
  const timeoutMs = checkTimeout(options.timeoutMs, defaultTimeoutMs);
  return link.call(callMessage(options), { destination, timeoutMs, signal, sensitive }, (reply) =>
    take(valuesOf(reply, replySignature)),
  );
}
