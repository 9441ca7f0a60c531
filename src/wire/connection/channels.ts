/**
 * What connections tell through `node:diagnostics_channel`: who speaks to whom, how much, how long it takes, and what goes
 * wrong; never what bodies hold, and never the texts of errors, which may quote it. Nothing is built where nobody subscribes.
 * Layer 7: imports lower layers only.
 *
 * One channel for each thing that a program is watched for: connections that come and go (`connect`, `close`), the calls it
 * makes and what becomes of them (`call`, `reply`), the calls made to it (`serve`), the signals it gets (`signal`), and
 * whatever is lost on the way (`drop`). Sent signals are a program's own doing, and have none.
 */
import { channel } from 'node:diagnostics_channel';
import type { DropReason } from './link-observer.js';

/** What all events of a connection have. */
interface ConnectionEvent {
  /** Tells the connections of a process apart: 1, 2, 3 … in the order in which they began. */
  readonly connection: number;
}

/** `secretbus.wire.connect`: a connection is authenticated. */
export interface ConnectEvent extends ConnectionEvent {
  /** The server's guid. */
  readonly guid: string;
  /** The mechanism of authentication, such as `EXTERNAL`. */
  readonly mechanism: string;
  /** Time since it began, in milliseconds. */
  readonly durationMs: number;
}

/** `secretbus.wire.close`: a connection has ended. */
export interface CloseEvent extends ConnectionEvent {
  /** Code of the error that ended it; absent after an ordinary `close()`. */
  readonly code?: string | undefined;
  /** Time since it began, in milliseconds. */
  readonly durationMs: number;
}

/** What a message is about; every field as in its header. */
export interface MessageEvent extends ConnectionEvent {
  readonly serial: number;
  readonly flags: number;
  readonly path?: string | undefined;
  readonly interface?: string | undefined;
  readonly member?: string | undefined;
  readonly sender?: string | undefined;
  readonly destination?: string | undefined;
  readonly signature: string;
  /** Length of the whole message, where it is known. */
  readonly byteLength?: number | undefined;
}

/** `secretbus.wire.call`: a call was sent. */
export type CallEvent = MessageEvent;

/** `secretbus.wire.reply`: a call that was sent is settled, whether a reply came or not. */
export interface ReplyEvent extends ConnectionEvent {
  /** Serial of the call. */
  readonly replySerial: number;
  /** How it ended: by a METHOD_RETURN, an ERROR, or without a reply. */
  readonly outcome: 'return' | 'error' | 'failed';
  /** Name of the ERROR. */
  readonly errorName?: string | undefined;
  /** Code of the error that the caller got without a reply, such as `deadline`. */
  readonly code?: string | undefined;
  /** Of the reply. */
  readonly signature?: string | undefined;
  /** Time since the call, in milliseconds. */
  readonly durationMs: number;
}

/** `secretbus.wire.serve`: the answer to a call that came was sent. */
export interface ServeEvent extends MessageEvent {
  /** Serial of the call. */
  readonly replySerial?: number | undefined;
  /** Name of the ERROR that was the answer. */
  readonly errorName?: string | undefined;
}

/** `secretbus.wire.signal`: a signal came. */
export type SignalEvent = MessageEvent;

/** `secretbus.wire.drop`: a message was dropped. */
export interface DropEvent extends ConnectionEvent {
  readonly reason: DropReason;
  readonly type: number;
  readonly interface?: string | undefined;
  readonly member?: string | undefined;
  readonly sender?: string | undefined;
}

/** One channel. Ask `hasSubscribers` first: only then is it worth making an event. */
export interface WireChannel<Event> {
  readonly hasSubscribers: boolean;
  publish(event: Event): void;
}

export const connectChannel: WireChannel<ConnectEvent> = channel('secretbus.wire.connect');
export const closeChannel: WireChannel<CloseEvent> = channel('secretbus.wire.close');
export const callChannel: WireChannel<CallEvent> = channel('secretbus.wire.call');
export const replyChannel: WireChannel<ReplyEvent> = channel('secretbus.wire.reply');
export const serveChannel: WireChannel<ServeEvent> = channel('secretbus.wire.serve');
export const signalChannel: WireChannel<SignalEvent> = channel('secretbus.wire.signal');
export const dropChannel: WireChannel<DropEvent> = channel('secretbus.wire.drop');

/** Header fields of a message, without its body. */
type MessageHeader = Omit<MessageEvent, 'connection' | 'byteLength'>;

/** The event of a message. Fields are taken one by one: what else the object holds, its body above all, stays out. */
export function messageEvent(connection: number, message: MessageHeader, byteLength?: number): MessageEvent {
  const { serial, flags, path, interface: interfaceName, member, sender, destination, signature } = message;
  return {
    connection,
    serial,
    flags,
    path,
    interface: interfaceName,
    member,
    sender,
    destination,
    signature,
    byteLength,
  };
}
