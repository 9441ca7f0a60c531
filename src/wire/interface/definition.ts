/**
 * What an interface has: methods, signals and properties with their signatures (D-Bus specification, "Introspection Data
 * Format"). Layer 4: imports lower layers only.
 */

/** Annotations by name, such as `org.freedesktop.DBus.Deprecated` to `true`. */
export type Annotations = Readonly<Record<string, string>>;

export interface MethodDefinition {
  /** Signature of the arguments; absent means none. */
  readonly in?: string;
  /** Signature of the reply; absent means an empty one. */
  readonly out?: string;
  /** Names of the arguments, one a single complete type of `in`. */
  readonly inNames?: readonly string[];
  /** Names of the values of the reply, one a single complete type of `out`. */
  readonly outNames?: readonly string[];
  readonly annotations?: Annotations;
}

export interface SignalDefinition {
  /** Signature of the arguments; absent means none. */
  readonly signature?: string;
  readonly names?: readonly string[];
  readonly annotations?: Annotations;
}

/** How PropertiesChanged tells of a change: with the value, only that there was one, never since it cannot, never. */
export type EmitsChanged = 'true' | 'invalidates' | 'const' | 'false';

export interface PropertyDefinition {
  /** One single complete type. */
  readonly type: string;
  readonly access: 'read' | 'write' | 'readwrite';
  /** Absent means `true`. */
  readonly emitsChanged?: EmitsChanged;
  readonly annotations?: Annotations;
}

/** One interface, as a literal, so that the types of arguments and results follow from the signatures in it. */
export interface InterfaceDefinition {
  readonly name: string;
  readonly methods?: Readonly<Record<string, MethodDefinition>>;
  readonly signals?: Readonly<Record<string, SignalDefinition>>;
  readonly properties?: Readonly<Record<string, PropertyDefinition>>;
  readonly annotations?: Annotations;
}

/** What an object has: its interfaces, and the names of the objects below it. */
export interface Introspection {
  readonly interfaces: readonly InterfaceDefinition[];
  /** Paths from the object, such as `collection` or `session/s1`. */
  readonly children: readonly string[];
}
