/**
 * Names of the interfaces that objects have without being given them (D-Bus specification, "Standard Interfaces").
 * Layer 1: imports nothing.
 */
export const PEER = 'org.freedesktop.DBus.Peer';
export const INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable';
export const PROPERTIES = 'org.freedesktop.DBus.Properties';
export const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';

/** All of them: none is what an object, or a document about it, is there for. */
export const STANDARD_INTERFACES: ReadonlySet<string> = new Set([
  PEER,
  INTROSPECTABLE,
  PROPERTIES,
  OBJECT_MANAGER,
]);
