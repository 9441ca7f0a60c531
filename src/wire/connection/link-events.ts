/**
 * What a link tells through `node:diagnostics_channel`. Layer 7: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';
import type { SaslResult } from '../handshake/sasl-client.js';
import { type Message, MessageType, type UnsentMessage } from '../message/message.js';
import {
  callChannel,
  closeChannel,
  connectChannel,
  dropChannel,
  messageEvent,
  replyChannel,
  serveChannel,
  signalChannel,
} from './channels.js';
import { type DropReason, type LinkObserver, observeLinks, type WatchedCall } from './link-observer.js';

let links = 0;

/**
 * From now on, new connections of this program tell what happens on them through `node:diagnostics_channel`, on
 * `secretbus.wire.connect`, `.close`, `.call`, `.reply`, `.serve`, `.signal` and `.drop`. A function to call, so that
 * programs which do not call it have none of its code.
 */
export function publishDiagnostics(): void {
  observeLinks(() => new LinkEvents());
}

/** The events of one link. Each costs a look at whether anybody listens, where nobody does. */
class LinkEvents implements LinkObserver {
  readonly #connection = ++links;
  readonly #beganAt = performance.now();

  authenticated({ guid, mechanism }: SaslResult): void {
    if (!connectChannel.hasSubscribers) return;
    connectChannel.publish({ connection: this.#connection, guid, mechanism, durationMs: this.#durationMs() });
  }

  ended(cause: Error | undefined): void {
    if (!closeChannel.hasSubscribers) return;
    closeChannel.publish({
      connection: this.#connection,
      code: codeOf(cause),
      durationMs: this.#durationMs(),
    });
  }

  sent(message: UnsentMessage, serial: number, byteLength: number): void {
    const { type } = message;
    if (type === MessageType.methodCall) {
      if (callChannel.hasSubscribers) callChannel.publish(this.#event({ ...message, serial }, byteLength));
    } else if (type !== MessageType.signal && serveChannel.hasSubscribers) {
      const { replySerial, errorName } = message;
      serveChannel.publish({ ...this.#event({ ...message, serial }, byteLength), replySerial, errorName });
    }
  }

  received(message: Message, byteLength: number): void {
    if (message.type === MessageType.signal && signalChannel.hasSubscribers) {
      signalChannel.publish(this.#event(message, byteLength));
    }
  }

  dropped(reason: DropReason, message: UnsentMessage): void {
    if (!dropChannel.hasSubscribers) return;
    const { type, interface: interfaceName, member, sender } = message;
    dropChannel.publish({
      connection: this.#connection,
      reason,
      type,
      interface: interfaceName,
      member,
      sender,
    });
  }

  watch<Result>(replySerial: number, take: (reply: Message) => Result): WatchedCall<Result> | undefined {
    if (!replyChannel.hasSubscribers) return undefined;
    const beganAt = performance.now();
    let reply: Message | undefined;
    const tell = (error?: unknown): void => {
      replyChannel.publish({
        connection: this.#connection,
        replySerial,
        outcome: reply === undefined ? 'failed' : reply.type === MessageType.error ? 'error' : 'return',
        errorName: reply?.errorName,
        signature: reply?.signature,
        code: reply === undefined ? codeOf(error) : undefined,
        durationMs: performance.now() - beganAt,
      });
    };
    return {
      take: (came) => {
        reply = came;
        tell();
        return take(came);
      },
      failed: (error) => {
        if (reply === undefined) tell(error);
      },
    };
  }

  #event(message: Message, byteLength: number): ReturnType<typeof messageEvent> {
    return messageEvent(this.#connection, message, byteLength);
  }

  #durationMs(): number {
    return performance.now() - this.#beganAt;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof DBusError ? error.code : error === undefined ? undefined : 'failed';
}
