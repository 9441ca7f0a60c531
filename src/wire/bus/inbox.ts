/**
 * Where received messages go that are no replies to calls of ours: calls to the objects exported, signals to those who
 * want them. Layer 8: imports lower layers only.
 */
import { OverloadError } from '../base/errors.js';
import { MAX_HELD_MESSAGES, MAX_MESSAGE_BYTE_LENGTH } from '../base/limits.js';
import type { Link } from '../connection/link.js';
import type { MatchRule } from '../match/match-rule.js';
import { errorReply, methodReturn } from '../message/builders.js';
import { type Message, MessageFlag, MessageType } from '../message/message.js';
import type { ObjectRegistry } from '../objects/object-registry.js';
import { PEER } from '../types/standard-names.js';
import type { Feed } from './subscription.js';

/** What it asks of the connection it belongs to. */
export interface InboxHost {
  /** Looks at every message before anybody else does. */
  preview(message: Message): void;
  /** Whether a message with this destination is for us. */
  isOurs(destination: string): boolean;
  /** The owner of the well-known name that a rule has as its sender. */
  ownerOf(name: string): string | undefined;
}

export class Inbox {
  /** Made by the first implementation that is exported, so that who exports nothing has none of its code. */
  objects: ObjectRegistry | undefined;
  readonly #host: InboxHost;
  readonly #subscribers = new Map<Feed, MatchRule>();
  /** Those who get every message. */
  readonly #taps = new Set<Feed>();
  /** The bus has made the connection a monitor, for as long as it lasts: nothing that comes is for us. */
  #isMonitor = false;
  /** Messages that wait until the connection is handed to its owner. */
  #held: (() => void)[] | undefined;
  #heldByteLength = 0;

  constructor(host: InboxHost) {
    this.#host = host;
  }

  /** Gives `feed` every signal that matches `rule`. */
  add(feed: Feed, rule: MatchRule): void {
    this.#subscribers.set(feed, rule);
  }

  /** Whether `feed` was there. */
  remove(feed: Feed): boolean {
    return this.#subscribers.delete(feed) || this.#taps.delete(feed);
  }

  /** Gives `feed` every message that comes from now on, and nothing to anybody else. */
  tap(feed: Feed): void {
    this.#isMonitor = true;
    this.#taps.add(feed);
  }

  /** What comes is kept for later. */
  hold(): void {
    this.#held ??= [];
  }

  /** What was kept is dealt with now, and what comes from now on at once. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const deal of held) deal();
  }

  /** The connection was lost; the next one is no monitor. */
  untap(error: Error): void {
    this.#isMonitor = false;
    for (const feed of this.#taps) feed.end(error);
  }

  /** Nothing comes any more. */
  end(error: Error | undefined): void {
    this.objects?.close();
    for (const feed of [...this.#subscribers.keys(), ...this.#taps]) feed.end(error);
    this.#subscribers.clear();
    this.#taps.clear();
  }

  /** Deals with a message. No code of users runs in it. */
  receive(link: Link, message: Message, byteLength: number): void {
    if (this.#held !== undefined) {
      this.#held.push(() => this.receive(link, message, byteLength));
      this.#heldByteLength += byteLength;
      if (this.#held.length > MAX_HELD_MESSAGES || this.#heldByteLength > MAX_MESSAGE_BYTE_LENGTH) {
        link.fail(new OverloadError('queue-full', 'the peer sends too much before it is listened to'));
      }
      return;
    }
    this.#host.preview(message);
    if (this.#isMonitor) {
      for (const feed of this.#taps) push(link, feed, message, byteLength);
      return;
    }
    const { destination } = message;
    const isOurs = destination === undefined || this.#host.isOurs(destination);
    if (message.type === MessageType.methodCall) {
      // A copy of a call to somebody else is not ours to answer.
      if (!isOurs) return;
      if (this.objects === undefined) refuse(link, message);
      else this.objects.handle(message);
      return;
    }
    if (message.type !== MessageType.signal) {
      link.dropped(message.type > MessageType.signal ? 'unknown-type' : 'unexpected-reply', message);
      return;
    }
    for (const [feed, rule] of this.#subscribers) {
      if (!isOurs && !rule.eavesdrop) continue;
      const owner = rule.sender === undefined ? undefined : this.#host.ownerOf(rule.sender);
      if (rule.matches(message, { owner })) push(link, feed, message, byteLength);
    }
  }
}

function push(link: Link, feed: Feed, message: Message, byteLength: number): void {
  if (!feed.push(message, byteLength)) link.dropped('slow-subscriber', message);
}

/** Nothing is exported here. Saying so keeps a caller from waiting for its own deadline; but everybody answers a Ping. */
function refuse(link: Link, call: Message): void {
  if ((call.flags & MessageFlag.noReplyExpected) !== 0) return;
  const isPing = call.member === 'Ping' && call.interface === PEER && call.signature === '';
  const unknown = { signature: 's', body: ['no objects are exported here'] };
  const reply = isPing
    ? methodReturn(call)
    : errorReply(call, 'org.freedesktop.DBus.Error.UnknownObject', unknown);
  try {
    link.send(reply, false);
  } catch (error) {
    // A peer that calls and calls and never reads the replies is hung up on.
    if (link.isOpen) link.fail(error as Error);
  }
}
