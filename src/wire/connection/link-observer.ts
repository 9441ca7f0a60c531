/**
 * Who is told what happens on a link: nobody, until {@link observeLinks} is called. Layer 7: imports lower layers only.
 */
import type { SaslResult } from '../handshake/sasl.js';
import type { Message, UnsentMessage } from '../message/message.js';

/**
 * Why a message was dropped: a subscriber does not take its signals fast enough; a reply to no call that waits, or from
 * somebody else than was called; a type that is not known; the peer does not take what we have sent.
 */
export type DropReason = 'slow-subscriber' | 'unexpected-reply' | 'unknown-type' | 'queue-full';

/** A call that is watched until it is settled. */
export interface WatchedCall<Result> {
  /** Takes the reply in the place of the function that was to. */
  readonly take: (reply: Message) => Result;
  /** Is told why no reply will come. */
  readonly failed: (error: unknown) => void;
}

/** Is told what happens on one link. Nothing of it may throw. */
export interface LinkObserver {
  authenticated(result: SaslResult): void;
  ended(cause: Error | undefined): void;
  sent(message: UnsentMessage, serial: number, byteLength: number): void;
  received(message: Message, byteLength: number): void;
  dropped(reason: DropReason, message: UnsentMessage): void;
  watch<Result>(serial: number, take: (reply: Message) => Result): WatchedCall<Result> | undefined;
}

let make: (() => LinkObserver) | undefined;

/** Has every new link observed. */
export function observeLinks(makeObserver: () => LinkObserver): void {
  make = makeObserver;
}

/** The observer of a new link. */
export function newObserver(): LinkObserver | undefined {
  return make?.();
}
