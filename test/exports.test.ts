import { describe, expect, it } from 'vitest';

/** What each entry exports at run time. Whoever changes a list here changes what programs outside rely on. */
const EXPORTS: Readonly<Record<string, readonly string[]>> = {
  keyring: ['Keyring', 'KeyringError', 'openKeyring'],
  wire: [
    'AuthError',
    'Bus',
    'CancelledError',
    'ClosedError',
    'ConnectError',
    'DBusError',
    'DeadlineError',
    'ErrorReply',
    'InvalidTextError',
    'MarshalError',
    'MessageFlag',
    'MessageParser',
    'MessageType',
    'OverloadError',
    'ProtocolError',
    'ReplySignatureError',
    'SaslClient',
    'Variant',
    'createMemoryPair',
    'decodeMessage',
    'encodeMessage',
    'isBusName',
    'isErrorName',
    'isInterfaceName',
    'isMemberName',
    'isObjectPath',
    'isSignature',
    'isUniqueName',
    'isWellKnownName',
    'marshal',
    'openBus',
    'parseAddress',
    'parseSignature',
    'sessionBus',
    'systemBus',
    'unmarshal',
  ],
  secret: ['Collection', 'Item', 'Secret', 'SecretService', 'SecretServiceError', 'isAvailable'],
  stash: [
    'SecureStash',
    'StashCryptoError',
    'StashError',
    'StashFormatError',
    'StashIOError',
    'StashKeyError',
    'StashValueError',
  ],
};

describe('the entries', () => {
  it.each(Object.entries(EXPORTS))('%s exports what it promises, and nothing else', async (area, names) => {
    const entry = (await import(`../src/${area}/index.ts`)) as object;
    expect(Object.keys(entry).toSorted()).toEqual(names);
  });
});
