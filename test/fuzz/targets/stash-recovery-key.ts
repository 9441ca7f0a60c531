/** Recovery keys as people type them. */
import { isDeepStrictEqual } from 'node:util';
import { generateRecoveryKey, parseRecoveryKey } from '../../../src/stash/native/credentials.js';
import { promise, refusal, type Target } from '../target.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

const target: Target = {
  name: 'stash-recovery-key',
  maxByteLength: 300,
  dictionary: ['-', ' ', 'O', 'o', 'I', 'l', 'U', '\n', 'é', '0000-'],
  generate: (random) => {
    const key = Array.from(generateRecoveryKey());
    if (random.oneIn(2)) key[random.below(key.length)] = random.pick(Array.from(ALPHABET));
    return Buffer.from(random.oneIn(2) ? key.join('').toLowerCase() : key.join(''));
  },
  run: (input) => {
    let key: Uint8Array;
    try {
      key = parseRecoveryKey(input);
    } catch (error) {
      promise(error instanceof Error && !/[0-9A-Z]{4}-/.test(error.message), 'the message tells of the key');
      return `${refusal(error, { StashValueError: ['bad-password'] })} ${error.message.replaceAll(/\d+/g, '#')}`;
    }
    promise(key.length === 32, 'a key of another length');
    // The same typed otherwise.
    const digits = Array.from(input, (byte) => String.fromCharCode(byte))
      .filter((character) => /[0-9A-Za-z]/.test(character))
      .join('');
    promise(isDeepStrictEqual(parseRecoveryKey(Buffer.from(digits.toLowerCase())), key), 'case matters');
    promise(
      isDeepStrictEqual(parseRecoveryKey(Buffer.from(digits.replaceAll('0', 'o'))), key),
      'an o is no 0',
    );
    return `accepted ${digits[0] ?? ''}`;
  },
};

export default target;
