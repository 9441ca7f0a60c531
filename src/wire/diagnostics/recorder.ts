/**
 * Records messages as a pcap file, without the bodies that hold secrets. Layer 8: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';
import {
  DEFAULT_RECORDING_BYTE_LENGTH,
  FIXED_HEADER_BYTE_LENGTH,
  MAX_MESSAGE_BYTE_LENGTH,
  MAX_RECORDED_CALLS,
} from '../base/limits.js';
import { readFixedHeader } from '../message/decode.js';
import { type Message, MessageType } from '../message/message.js';
import {
  encodePcapHeader,
  encodePcapPacket,
  PCAP_HEADER_BYTE_LENGTH,
  PCAP_PACKET_HEADER_BYTE_LENGTH,
} from './pcap.js';

/** How to record. */
export interface RecorderOptions {
  /**
   * Takes the next bytes of the file, which are its own from then on. If it throws, the recording is over, and `failure`
   * says why; the connection goes on.
   */
  readonly write: (bytes: Uint8Array) => void;
  /** Whether to leave out the body of a message, beside those that are always left out. If it throws, the body is left out. */
  readonly redact?: ((message: Message) => boolean) | undefined;
  /** Milliseconds since 1970, whole or not; default the clock of the system. */
  readonly now?: (() => number) | undefined;
  /** Most bytes to write; default 256 MiB. With the first message that does not fit the recording is over. */
  readonly maxByteLength?: number | undefined;
  /** Most bytes of one message to write; default all. */
  readonly snapLength?: number | undefined;
}

/** Interfaces that carry secrets, labels or attributes: of the Secret Service, its portal, and the keyrings behind it. */
const SECRET_INTERFACES =
  /^org\.(?:freedesktop\.(?:Secret|(?:impl\.)?portal\.Secret)|gnome\.keyring|kde\.KWallet)(?:\.|$)/;
const SECRET_NAMES = /^org\.(?:freedesktop\.secrets|gnome\.keyring|kde\.kwalletd[56]?)$/;
const SECRET_PATHS = /^\/(?:org\/freedesktop\/secrets|org\/gnome\/keyring|modules\/kwalletd[56]?)(?:\/|$)/;

/** Whether a message is to, from or of a service of secrets. A call need not name its interface, so that is not all that tells. */
function concernsSecrets({
  interface: name = '',
  path = '',
  destination = '',
  sender = '',
}: Message): boolean {
  return (
    SECRET_INTERFACES.test(name) ||
    SECRET_PATHS.test(path) ||
    SECRET_NAMES.test(destination) ||
    SECRET_NAMES.test(sender)
  );
}

function checkLength(name: string, value: number | undefined, least: number, fallback: number): number {
  const length = value ?? fallback;
  if (!Number.isSafeInteger(length) || length < least) {
    throw new DBusError('invalid-option', `${name} must be an integer of ${least} or more`);
  }
  return length;
}

/**
 * Records whole messages, sent and received. A message whose body holds secrets keeps its header and its length, and its body is
 * written as zeros. That holds for what is called sensitive, for all that concerns a service of secrets, and for every reply to
 * a call of either kind.
 */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #maxByteLength: number;
  readonly #snapLength: number;
  /**
   * Serials of calls whose replies are redacted, whoever made them: which way a message went does not show in it. They stay
   * after the reply, since another's reply may have the same number.
   */
  readonly #secretCalls = new Set<number>();
  #byteLength = 0;
  #frames = 0;
  #droppedFrames = 0;
  #state: 'open' | 'full' | 'closed' = 'open';
  #failure: { readonly error: unknown } | undefined;

  /** Writes the start of the file. @throws {DBusError} `invalid-option` */
  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#maxByteLength = checkLength(
      'maxByteLength',
      options.maxByteLength,
      PCAP_HEADER_BYTE_LENGTH,
      DEFAULT_RECORDING_BYTE_LENGTH,
    );
    this.#snapLength = Math.min(
      checkLength('snapLength', options.snapLength, 1, MAX_MESSAGE_BYTE_LENGTH),
      MAX_MESSAGE_BYTE_LENGTH,
    );
    this.#write(encodePcapHeader(this.#snapLength));
  }

  /** Bytes written. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Messages written. */
  get frames(): number {
    return this.#frames;
  }

  /** Messages that came when the recording was full or had failed. */
  get droppedFrames(): number {
    return this.#droppedFrames;
  }

  /** Whether `maxByteLength` was reached, so that messages are missing at the end. */
  get truncated(): boolean {
    return this.#state === 'full' || (this.#droppedFrames > 0 && this.#failure === undefined);
  }

  /** What `write` threw, if it did. */
  get failure(): unknown {
    return this.#failure?.error;
  }

  /**
   * Records one whole message. Never throws.
   * @param frame - its bytes; a copy is made.
   * @param sensitive - whether its body must not be recorded, nor that of a reply to it.
   */
  record(frame: Uint8Array, message: Message, sensitive: boolean): void {
    if (this.#state === 'closed') return;
    const redacted = this.#isRedacted(message, sensitive);
    const included = Math.min(frame.length, this.#snapLength);
    if (
      this.#state === 'full' ||
      this.#failure !== undefined ||
      this.#byteLength + PCAP_PACKET_HEADER_BYTE_LENGTH + included > this.#maxByteLength
    ) {
      // A shorter one might still fit, but a recording with holes misleads more than one that ends.
      if (this.#failure === undefined) this.#state = 'full';
      this.#droppedFrames++;
      return;
    }
    const packet = encodePcapPacket({
      timeMs: this.#now(),
      bytes: frame.subarray(0, included),
      byteLength: frame.length,
    });
    if (redacted) packet.fill(0, PCAP_PACKET_HEADER_BYTE_LENGTH + bodyStartOf(frame));
    if (this.#write(packet)) this.#frames++;
  }

  /** Ends the recording: nothing more is written. */
  close(): void {
    this.#state = 'closed';
    this.#secretCalls.clear();
  }

  #isRedacted(message: Message, sensitive: boolean): boolean {
    const secret =
      sensitive || concernsSecrets(message) || this.#isReplyToSecret(message) || this.#asked(message);
    // Once there are more calls than can be remembered, they all stay secret: see `#isReplyToSecret`.
    if (secret && message.type === MessageType.methodCall && this.#secretCalls.size <= MAX_RECORDED_CALLS) {
      this.#secretCalls.add(message.serial);
    }
    return secret;
  }

  #isReplyToSecret({ replySerial }: Message): boolean {
    if (replySerial === undefined) return false;
    return this.#secretCalls.size > MAX_RECORDED_CALLS || this.#secretCalls.has(replySerial);
  }

  #asked(message: Message): boolean {
    try {
      return this.#options.redact?.(message) === true;
    } catch {
      return true;
    }
  }

  #now(): number {
    try {
      return this.#options.now?.() ?? performance.timeOrigin + performance.now();
    } catch {
      return 0;
    }
  }

  /** Whether it was taken. */
  #write(bytes: Uint8Array): boolean {
    try {
      this.#options.write(bytes);
    } catch (error) {
      this.#failure = { error };
      this.#droppedFrames++;
      return false;
    }
    this.#byteLength += bytes.length;
    return true;
  }
}

/** Where the body starts. Of a frame that has no such thing nearly everything counts as body. */
function bodyStartOf(frame: Uint8Array): number {
  try {
    return readFixedHeader(frame).bodyStart;
  } catch {
    return Math.min(frame.length, FIXED_HEADER_BYTE_LENGTH);
  }
}
