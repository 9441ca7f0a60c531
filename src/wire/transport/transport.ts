/**
 * The seam between a connection and what carries its bytes. Layer 6: imports lower layers only.
 */

/** What a transport tells its owner. None of these may throw. */
export interface TransportHandlers {
  /**
   * Bytes came, and the file descriptors that came with them. The bytes are only valid during the call.
   * No transport of Node's can pass descriptors, so `fds` is empty; the seam is here for one that can.
   */
  receive(bytes: Uint8Array, fds: readonly number[]): void;
  /** All that was written has been taken: after a `write`, once, when `queuedByteLength` is 0 again. Never within `write`. */
  drained?(): void;
  /** The transport has ended, from either side: exactly once, and nothing comes after it. `error` is why, if it failed. */
  ended(error?: Error): void;
}

/** A two-way stream of bytes, open when it is handed out. */
export interface Transport {
  /** Bytes given to `write` that have not been taken yet. */
  readonly queuedByteLength: number;
  /** Begins to deliver; called exactly once. What came before is delivered first. */
  start(handlers: TransportHandlers): void;
  /**
   * Queues bytes: up to 16,384 (`MAX_COPIED_BYTE_LENGTH`) it copies them, more belong to it from now on. Ignored once closing
   * or ended. What is written within one tick may be joined; `urgent` says that nothing else is likely to follow.
   */
  write(bytes: Uint8Array, urgent?: boolean): void;
  /** Sends what is queued, then ends; nothing is delivered any more but `ended`. The peer may keep it waiting. */
  close(): void;
  /** Ends at once, dropping what is queued and what has come; `ended` follows. */
  destroy(): void;
}
