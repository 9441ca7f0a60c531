/** Catching secrets on their way to the caller, to see what becomes of them. */
import type { Secret, SecretService } from '../../../src/secret/index.js';

/** Every secret that the client decodes from now on. */
export function decodedSecrets(client: SecretService): Secret[] {
  const decoded: Secret[] = [];
  const { session } = client;
  const { decode } = session as unknown as { decode: (value: unknown) => Secret };
  Object.assign(session, {
    decode(value: unknown) {
      const secret = decode.call(session, value);
      decoded.push(secret);
      return secret;
    },
  });
  return decoded;
}
