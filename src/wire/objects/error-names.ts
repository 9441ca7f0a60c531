/**
 * The standard names of errors in replies (D-Bus specification, "Standard Interfaces" and "Message Bus Messages", and
 * `dbus-protocol.h` of the reference implementation). Layer 8: imports nothing.
 */

/** What `MethodError` takes as its name when one of the standard errors fits. */
export const ErrorName = {
  /** Something went wrong that no other name tells. */
  failed: 'org.freedesktop.DBus.Error.Failed',
  /** Nothing is exported at the path, nor below it. */
  unknownObject: 'org.freedesktop.DBus.Error.UnknownObject',
  unknownInterface: 'org.freedesktop.DBus.Error.UnknownInterface',
  unknownMethod: 'org.freedesktop.DBus.Error.UnknownMethod',
  unknownProperty: 'org.freedesktop.DBus.Error.UnknownProperty',
  propertyReadOnly: 'org.freedesktop.DBus.Error.PropertyReadOnly',
  /** The arguments are of the wrong types, or their values make no sense. */
  invalidArgs: 'org.freedesktop.DBus.Error.InvalidArgs',
  accessDenied: 'org.freedesktop.DBus.Error.AccessDenied',
  /** The caller has not shown who it is. */
  authFailed: 'org.freedesktop.DBus.Error.AuthFailed',
  /** The caller may, once a person has agreed, and did not allow us to ask one. */
  interactiveAuthorizationRequired: 'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired',
  limitsExceeded: 'org.freedesktop.DBus.Error.LimitsExceeded',
  notSupported: 'org.freedesktop.DBus.Error.NotSupported',
  noMemory: 'org.freedesktop.DBus.Error.NoMemory',
  timeout: 'org.freedesktop.DBus.Error.Timeout',
  fileNotFound: 'org.freedesktop.DBus.Error.FileNotFound',
  fileExists: 'org.freedesktop.DBus.Error.FileExists',
} as const;
