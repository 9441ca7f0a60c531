/**
 * Every limit of the wire protocol, with its source. Layer 0: imports nothing.
 */

/** Largest message, header and body together, in bytes: 2^27 (D-Bus specification, "Message Protocol"). */
export const MAX_MESSAGE_BYTE_LENGTH = 0x800_0000;

/** Largest array, in bytes of its elements: 2^26 (D-Bus specification, "Marshaling", ARRAY). */
export const MAX_ARRAY_BYTE_LENGTH = 0x400_0000;

/** Longest signature, in bytes (D-Bus specification, "Valid Signatures"). */
export const MAX_SIGNATURE_BYTE_LENGTH = 255;

/** Longest bus, interface, member or error name, in bytes (D-Bus specification, "Valid Names"). */
export const MAX_NAME_BYTE_LENGTH = 255;

/** Deepest nesting of arrays in one signature (D-Bus specification, "Valid Signatures"). */
export const MAX_ARRAY_DEPTH = 32;

/** Deepest nesting of structs in one signature (D-Bus specification, "Valid Signatures"). */
export const MAX_STRUCT_DEPTH = 32;

/**
 * Deepest nesting of containers of every kind in one body, variants included. The reference
 * implementation counts so: 64 nested variants pass, 65 do not.
 */
export const MAX_CONTAINER_DEPTH = 64;

/**
 * Arrays, dicts, structs, variants and byte arrays that one received message may hold: a limit of ours. An empty array is 4
 * bytes on the wire and fifty times as many in memory, so that without it a valid message of the largest size would use up
 * the heap.
 */
export const MAX_CONTAINERS = 0x10_0000;

/** How many containers the first sight of a variant's signature counts as: compiling it takes about as long. */
export const SIGNATURE_COST = 64;

/** Length of the fixed part of the header together with the length of the header field array, in bytes. */
export const FIXED_HEADER_BYTE_LENGTH = 16;

/** Longest line of the authentication protocol, CR LF included, in bytes (the reference implementation's). */
export const MAX_SASL_LINE_BYTE_LENGTH = 16_384;

/** Most lines a peer may send before the authentication ends: every mechanism needs fewer. */
export const MAX_SASL_LINES = 64;

/** Longest address list read, in characters: far above any real one, and what keeps a forged one cheap. */
export const MAX_ADDRESS_LENGTH = 65_536;

/** Time to connect, authenticate and say Hello when the caller names none, in milliseconds. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;

/** Time a call waits for its reply when the caller names none, in milliseconds (the reference library's). */
export const DEFAULT_CALL_TIMEOUT_MS = 25_000;

/** Time that `close()` gives the peer to take what is still queued, in milliseconds. */
export const CLOSE_TIMEOUT_MS = 2000;

/** Longest delay a timer can hold, in milliseconds: above it the platform fires at once. */
export const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** Calls that may wait for their replies at one time on one connection. */
export const MAX_PENDING_CALLS = 65_536;

/** Bytes that may wait to be written on one connection: one whole message of the largest size, and room beside it. */
export const MAX_QUEUED_BYTE_LENGTH: number = MAX_MESSAGE_BYTE_LENGTH + 0x100_0000;
