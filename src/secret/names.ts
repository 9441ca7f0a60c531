/**
 * The names of the Secret Service: bus name, paths, interfaces, errors, algorithms.
 * Secret Service specification 0.2, "D-Bus API". Imports nothing.
 */

export const SERVICE_NAME = 'org.freedesktop.secrets';
export const SERVICE_PATH = '/org/freedesktop/secrets';

export const SERVICE_INTERFACE = 'org.freedesktop.Secret.Service';
export const COLLECTION_INTERFACE = 'org.freedesktop.Secret.Collection';
export const ITEM_INTERFACE = 'org.freedesktop.Secret.Item';
export const SESSION_INTERFACE = 'org.freedesktop.Secret.Session';
export const PROMPT_INTERFACE = 'org.freedesktop.Secret.Prompt';
export const PROPERTIES_INTERFACE = 'org.freedesktop.DBus.Properties';

/** GNOME Keyring's own interface at the path of the service; the name is its authors' warning. */
export const GNOME_INTERFACE = 'org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface';

export const BUS_NAME = 'org.freedesktop.DBus';
export const BUS_PATH = '/org/freedesktop/DBus';

/** The object path that stands for "none". */
export const NO_OBJECT = '/';

/** The alias of the collection that programs use when they name none. */
export const DEFAULT_ALIAS = 'default';

/** The alias of the collection that lasts as long as the service does. */
export const SESSION_ALIAS = 'session';

/** The attribute that says of which kind an item is. */
export const SCHEMA_ATTRIBUTE = 'xdg:schema';

/** The signature of a Secret struct: session, parameters, value, content type. */
export const SECRET_SIGNATURE = '(oayays)';

export const ENCRYPTED_ALGORITHM = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';
export const PLAIN_ALGORITHM = 'plain';

/** The algorithms of the specification, by the names that OpenSession takes. */
export type SessionAlgorithm = typeof ENCRYPTED_ALGORITHM | typeof PLAIN_ALGORITHM;
