/** Lists of server addresses. */
import { isDeepStrictEqual } from 'node:util';
import { formatAddress, parseAddress } from '../../../src/wire/handshake/address.js';
import { promise, refusal, type Target, textOf } from '../target.js';

const address: Target = {
  name: 'address',
  dictionary: [
    'unix:',
    'path=',
    'abstract=',
    'tcp:',
    'host=',
    'port=',
    'guid=',
    '%2f',
    '%00',
    '%ff',
    '%',
    ',',
    ';',
    ':',
    '=',
    '*',
  ],
  run: (input) => {
    let addresses: ReturnType<typeof parseAddress>;
    try {
      addresses = parseAddress(textOf(input));
    } catch (error) {
      return refusal(error, { InvalidTextError: ['invalid-address'] });
    }
    const text = formatAddress(addresses);
    promise(isDeepStrictEqual(parseAddress(text), addresses), 'what was written is not what was read');
    promise(formatAddress(parseAddress(text)) === text, 'written twice it differs');
    return `accepted ${Math.min(addresses.length, 3)} ${addresses[0]?.parameters.size ?? ''}`;
  },
};

export default address;
