/**
 * The pcap file format with one D-Bus message a packet: what Wireshark, tshark and Bustle read (pcap savefile format, major
 * version 2, minor version 4; link type 231, LINKTYPE_DBUS). Layer 8: imports lower layers only.
 */
import { MAX_MESSAGE_BYTE_LENGTH } from '../base/limits.js';

/** Length of what comes before the first packet, in bytes. */
export const PCAP_HEADER_BYTE_LENGTH = 24;
/** Length of what comes before each packet, in bytes. */
export const PCAP_PACKET_HEADER_BYTE_LENGTH = 16;

/** By its byte order it tells that of the file, and by its value that times are in microseconds. */
const MAGIC = 0xa1b2_c3d4;
const LINKTYPE_DBUS = 231;

/** One message as it is to stand in the file. */
export interface PcapPacket {
  /** Milliseconds since 1970, whole or not. */
  readonly timeMs: number;
  /** The bytes, or the first of them. */
  readonly bytes: Uint8Array;
  /** Length of the whole message, where `bytes` are less. */
  readonly byteLength?: number | undefined;
}

/**
 * The start of a file: 24 bytes.
 * @param snapLength - most bytes of one packet; default 2^27, the longest message.
 */
export function encodePcapHeader(snapLength: number = MAX_MESSAGE_BYTE_LENGTH): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PCAP_HEADER_BYTE_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  // Two fields that nobody sets: the time zone, and how exact the times are.
  view.setUint32(16, snapLength, true);
  view.setUint32(20, LINKTYPE_DBUS, true);
  return bytes;
}

/** One packet, its header and a copy of its bytes. A time before 1970, or after 2106, becomes the nearest one that fits. */
export function encodePcapPacket({
  timeMs,
  bytes,
  byteLength = bytes.length,
}: PcapPacket): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(PCAP_PACKET_HEADER_BYTE_LENGTH + bytes.length);
  const view = new DataView(packet.buffer);
  const limited = Math.min(Math.max(0, Number.isNaN(timeMs) ? 0 : timeMs), 0xffff_ffff * 1000 + 999);
  const seconds = Math.floor(limited / 1000);
  view.setUint32(0, seconds, true);
  // A fraction of 0.9999999 s must not round up to a second that the field cannot hold.
  view.setUint32(4, Math.min(Math.round((limited - seconds * 1000) * 1000), 999_999), true);
  view.setUint32(8, bytes.length, true);
  view.setUint32(12, byteLength, true);
  packet.set(bytes, PCAP_PACKET_HEADER_BYTE_LENGTH);
  return packet;
}
