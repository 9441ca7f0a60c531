/**
 * Names of files as names of keys. A file name is bytes, mostly UTF-8; what is not UTF-8 becomes lone surrogates, a
 * byte B from 0x80 on as U+DC00 + B, and back, as in Python (PEP 383, "surrogateescape").
 *
 * Must not import `node:` or anything else.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Returns the length of the UTF-8 sequence that begins with `byte`, if one does. */
function sequenceLength(byte: number): number {
  if (byte < 0x80) return 1;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/** Returns the name of a key for the name of a file. Different ones have different names. */
export function nameFromBytes(bytes: Uint8Array): string {
  const whole = decode(bytes);
  if (whole !== undefined) return whole;
  let name = '';
  for (let offset = 0; offset < bytes.length; ) {
    const byte = bytes[offset] as number;
    const end = offset + sequenceLength(byte);
    // A view that ends early is no whole sequence, and does not decode.
    const text = decode(bytes.subarray(offset, end));
    name += text ?? String.fromCharCode(0xdc00 + byte);
    offset = text === undefined ? offset + 1 : end;
  }
  return name;
}

/** Returns the bytes of the file name that a key's name stands for. Only some names stand for one. */
export function bytesFromName(name: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of name) {
    const code = character.codePointAt(0) as number;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encoder.encode(character));
  }
  return Uint8Array.from(bytes);
}

/** Names that are devices in every folder of Windows, whatever follows the first dot. */
const windowsDevices = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)/i;

/** Why a name cannot be that of a file, or `undefined` if it can. `forWindows` adds what Windows refuses or changes. */
export function unsafeNameReason(name: string, forWindows: boolean): string | undefined {
  if (name === '') return 'it is empty';
  if (name === '.' || name === '..') return 'it leads elsewhere';
  if (name.includes('/')) return 'it has a slash';
  if (name.includes('\0')) return 'it has a NUL';
  // Also for surrogates that together are UTF-8: the file would come back under another name.
  if (nameFromBytes(bytesFromName(name)) !== name) return 'it has lone surrogates that no file name gives';
  if (!forWindows) return undefined;
  // oxlint-disable-next-line no-control-regex
  if (/[\u0001-\u001f"*:<>?\\|]/.test(name)) return 'it has a character that Windows gives another meaning';
  if (/[. ]$/.test(name)) return 'it ends with a dot or a space, which Windows drops';
  if (/\p{Surrogate}/u.test(name)) return 'it has a lone surrogate';
  return windowsDevices.test(name) ? 'it is a device on Windows' : undefined;
}
