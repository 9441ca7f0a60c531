/**
 * What is stored for the measurements, so that each peer can check all that it reads. `secretstorage_child.py` says the same.
 */

/** @param {number} index */
export function accountOf(index) {
  return `account-${index}`;
}

/** @param {string} account */
export function secretOf(account) {
  return `the secret of ${account}, as long as a token`;
}

/**
 * Attributes by which every peer finds an item: keytar looks for the schema, the service and the account, and
 * @napi-rs/keyring for the service and the user name.
 * @param {string} service @param {string} account
 */
export function attributesForAll(service, account) {
  return { service, account, username: account, 'xdg:schema': 'org.freedesktop.Secret.Generic' };
}

/** The label that goes with them. @param {Readonly<Record<string, string>>} attributes */
export function labelOf({ service, account }) {
  return `${service}/${account}`;
}
