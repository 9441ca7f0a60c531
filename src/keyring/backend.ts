/**
 * What a place to keep secrets does for the front door. Imports nothing.
 */

/** Stops the wait for an operation. */
export interface OperationOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Keeps bytes by two names that have been checked; its errors are those of its own area. */
export interface Backend {
  readonly kind: 'secret-service' | 'stash';
  /** The bytes, which the caller owns; undefined if there are none. */
  get(service: string, account: string, options: OperationOptions): Promise<Uint8Array | undefined>;
  set(service: string, account: string, secret: Uint8Array, options: OperationOptions): Promise<void>;
  /** Whether there was something to delete. */
  delete(service: string, account: string, options: OperationOptions): Promise<boolean>;
  /** The accounts of a service, in any order. */
  list(service: string, options: OperationOptions): Promise<string[]>;
  close(): Promise<void>;
}
