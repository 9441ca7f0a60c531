/**
 * Names of the interfaces that objects have without being given them (D-Bus specification, "Standard Interfaces").
 * Layer 8: imports nothing.
 */
export const PEER = 'org.freedesktop.DBus.Peer';
export const INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable';
export const PROPERTIES = 'org.freedesktop.DBus.Properties';
export const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';
