/**
 * The variant: a value that carries its type (D-Bus specification, "Type System", VARIANT).
 * Layer 2: imports nothing.
 */

/**
 * A value with the signature of its one single complete type. The signature is checked when the variant is
 * marshalled, and always valid in one that was unmarshalled. It is never inferred from a bare value.
 */
export class Variant<Value = unknown> {
  readonly signature: string;
  readonly value: Value;

  constructor(signature: string, value: Value) {
    this.signature = signature;
    this.value = value;
  }
}
