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

/** Times a server says REJECTED before it gives up on a client (the reference implementation's). */
export const MAX_SASL_REJECTIONS = 6;

/** Largest number of a cookie: 2^31 - 1 (the reference implementation's). */
export const MAX_COOKIE_ID = 0x7fff_ffff;

/** Age from which a server makes a new cookie instead of using the newest, in seconds (the reference implementation's). */
export const COOKIE_RENEW_SECONDS = 300;

/** Age from which a cookie is void, in seconds (the reference implementation's): two minutes to end a handshake in. */
export const COOKIE_EXPIRE_SECONDS = 420;

/** How far in the future a cookie's time may be, in seconds (the reference implementation's). */
export const COOKIE_FUTURE_SECONDS = 300;

/** Most cookies in one file (the reference implementation's). */
export const MAX_COOKIES = 256;

/** Largest cookie file, in bytes: 256 cookies of the reference implementation take 18 KiB. */
export const MAX_COOKIE_FILE_BYTE_LENGTH = 65_536;

/** Time after which a server takes a lock of a cookie file that does not change for forgotten, in milliseconds (the reference implementation's). */
export const COOKIE_LOCK_TIMEOUT_MS = 8000;

/** Longest address list read, in characters: far above any real one, and what keeps a forged one cheap. */
export const MAX_ADDRESS_LENGTH = 65_536;

/** Longest text of a match rule, in bytes (the reference implementation's). */
export const MAX_MATCH_RULE_BYTE_LENGTH = 1024;

/** Highest index of an argument that a match rule can tell of (D-Bus specification, "Match Rules"). */
export const MAX_MATCH_ARGUMENT = 63;

/** Length of the nonce of the transport `nonce-tcp`, in bytes (D-Bus specification, "Nonce-authenticated TCP Sockets"). */
export const NONCE_BYTE_LENGTH = 16;

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

/** Signals that may wait to be read in one subscription when its owner names no other number: a limit of ours. */
export const DEFAULT_MAX_QUEUED_SIGNALS = 1024;

/** Bytes of signals that may wait to be read in one subscription; one signal may always wait. */
export const MAX_QUEUED_SIGNAL_BYTE_LENGTH = 0x100_0000;

/** Longest introspection document read, in UTF-16 units: ten times what the largest real ones take. */
export const MAX_INTROSPECTION_LENGTH = 0x40_0000;

/** Most elements of an introspection document: an object with a hundred thousand children still fits. */
export const MAX_XML_ELEMENTS = 0x2_0000;

/** Deepest nesting of elements; introspection data needs 5, and documentation inside it some more. */
export const MAX_XML_DEPTH = 64;

/** Most attributes of one element; introspection data needs 3. */
export const MAX_XML_ATTRIBUTES = 64;

/** Handlers of exported objects that may run at one time on one connection: a limit of ours, which the owner may change. */
export const MAX_RUNNING_HANDLERS = 1024;

/** Time a peer has to authenticate to a server of ours, in milliseconds. */
export const DEFAULT_AUTHENTICATION_TIMEOUT_MS = 30_000;

/** Peers that a server of ours has at one time. */
export const MAX_CONNECTIONS = 1024;

/** Messages that wait until a connection is taken by its owner. */
export const MAX_HELD_MESSAGES = 4096;

/** Bytes that a recording of messages may have when its owner names no other limit: a limit of ours. */
export const DEFAULT_RECORDING_BYTE_LENGTH = 0x1000_0000;

/** Serials of calls that a recording remembers in order to redact their replies. Past that it redacts every reply. */
export const MAX_RECORDED_CALLS = 65_536;

/**
 * Bytes given to a transport are copied up to this length, and belong to it above. Copying so little costs less than a buffer
 * for each message.
 */
export const MAX_COPIED_BYTE_LENGTH = 16_384;

/** Objects, interfaces and properties of one service that are followed: a limit of ours. */
export const MAX_MANAGED_ENTRIES = 0x2_0000;
