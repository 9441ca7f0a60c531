/** How the services that there are differ, as was seen: what a mock does in the place of each. */
import { Variant } from '../../../src/wire/index.js';

const DBUS_ERROR = 'org.freedesktop.DBus.Error';
export const IS_LOCKED = 'org.freedesktop.Secret.Error.IsLocked';

/** Where a service asks the user. */
export type PromptCase =
  | 'CreateCollection'
  | 'CreateItem'
  | 'CreateItem, locked'
  | 'Delete'
  | 'Delete, locked'
  | 'Lock'
  | 'Unlock';

export interface Quirks {
  /** What OpenSession gives for a plain session. */
  readonly plainOutput: Variant;
  /** What calls to objects say that are not there, and Lock and Unlock of them. */
  readonly missing: string;
  readonly missingToLock: string;
  /** The aliases that can be set; undefined for any. */
  readonly aliases?: readonly string[];
  readonly prompts: ReadonlySet<PromptCase>;
  /** Which prompts are dismissed as soon as they are to be shown. */
  readonly unshowable?: PromptCase;
  readonly emptyLabel: 'kept' | 'refused';
  readonly replaces: 'superset' | 'exact';
  readonly contentType: 'kept' | 'text/plain' | 'attribute' | 'UTF-8 only';
  /** What an item has beside the attributes that it was given. */
  readonly added: (attributes: ReadonlyMap<string, string>, contentType: string) => Record<string, string>;
  /** What reading the properties of a locked item but `Locked` says; undefined where they are readable. */
  readonly lockedProperties?: string;
  readonly lockedSecrets: 'left out' | 'fail';
  readonly lockedFound: 'apart' | 'left out' | 'never locked';
  /** Whether a locked collection shows its items. */
  readonly lockedItems: 'shown' | 'hidden';
  readonly completed: 'to the caller' | 'broadcast';
  readonly dismissedResult: Variant;
  /** What Completed says after Dismiss; undefined where nothing is emitted. */
  readonly dismissed: boolean | undefined;
  readonly modified: 'seconds' | 'zero' | 'zero for collections';
  readonly isActivatable: boolean;
}

const none = (): Record<string, string> => ({});

/** A service that asks nobody, and does what the specification says. */
export const REFERENCE: Quirks = {
  plainOutput: new Variant('s', ''),
  missing: `${DBUS_ERROR}.UnknownObject`,
  missingToLock: `${DBUS_ERROR}.UnknownObject`,
  prompts: new Set(),
  emptyLabel: 'kept',
  replaces: 'exact',
  contentType: 'kept',
  added: none,
  lockedSecrets: 'left out',
  lockedFound: 'apart',
  lockedItems: 'shown',
  completed: 'to the caller',
  dismissedResult: new Variant('s', ''),
  dismissed: true,
  modified: 'seconds',
  isActivatable: true,
};

/** The columns of the table. */
export const PROVIDERS: Readonly<Record<string, Quirks>> = {
  'GNOME Keyring': {
    ...REFERENCE,
    missing: `${DBUS_ERROR}.UnknownMethod`,
    missingToLock: `${DBUS_ERROR}.UnknownMethod`,
    aliases: ['default'],
    prompts: new Set(['CreateCollection', 'Unlock']),
    unshowable: 'CreateCollection',
    replaces: 'superset',
    contentType: 'text/plain',
    added: (attributes) =>
      attributes.has('xdg:schema') ? {} : { 'xdg:schema': 'org.freedesktop.Secret.Generic' },
    dismissedResult: new Variant('ao', []),
    modified: 'zero for collections',
  },
  KWallet: {
    ...REFERENCE,
    plainOutput: new Variant('ay', new Uint8Array(0)),
    missingToLock: `${DBUS_ERROR}.InvalidArgs`,
    prompts: new Set(['CreateCollection', 'Unlock']),
    emptyLabel: 'refused',
    replaces: 'superset',
    contentType: 'UTF-8 only',
    dismissedResult: new Variant('ao', ['/']),
  },
  KeePassXC: {
    ...REFERENCE,
    prompts: new Set(['CreateCollection', 'CreateItem', 'Delete', 'Lock', 'Unlock']),
    replaces: 'superset',
    contentType: 'attribute',
    added: (_attributes, contentType) => ({
      Title: 't',
      UserName: '',
      URL: '',
      Notes: '',
      Uuid: '0123',
      Path: '/t',
      ...(contentType !== 'text/plain' && { FDO_SECRETS_CONTENT_TYPE: contentType }),
    }),
    lockedProperties: IS_LOCKED,
    lockedSecrets: 'fail',
    lockedFound: 'left out',
    lockedItems: 'hidden',
    completed: 'broadcast',
    isActivatable: false,
  },
  oo7: {
    ...REFERENCE,
    plainOutput: new Variant('ay', new Uint8Array(0)),
    prompts: new Set(['CreateCollection', 'CreateItem, locked', 'Delete, locked', 'Unlock']),
    contentType: 'attribute',
    added: (_attributes, contentType) => ({ 'xdg:content-type': contentType }),
    lockedProperties: `${DBUS_ERROR}.Failed`,
    lockedFound: 'left out',
    completed: 'broadcast',
    dismissed: undefined,
    isActivatable: false,
  },
  pass_secret_service: {
    ...REFERENCE,
    missing: 'org.freedesktop.Secret.Error.NoSuchObject',
    missingToLock: 'org.freedesktop.Secret.Error.NoSuchObject',
    replaces: 'superset',
    contentType: 'UTF-8 only',
    lockedFound: 'never locked',
    modified: 'zero',
  },
  'the mock of libsecret': {
    ...REFERENCE,
    prompts: new Set(['CreateCollection', 'Delete', 'Lock', 'Unlock']),
    replaces: 'superset',
    completed: 'broadcast',
    dismissed: false,
    isActivatable: false,
  },
};
