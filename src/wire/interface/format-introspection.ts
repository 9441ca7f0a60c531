/**
 * Interface definitions to introspection data (D-Bus specification, "Introspection Data Format"). Layer 4: imports lower
 * layers only.
 */
import { InvalidTextError } from '../base/errors.js';
import { isObjectPath } from '../types/names.js';
import { parseSignature } from '../types/signature.js';
import { checkDefinition, EMITS_CHANGED, quoteName } from './check.js';
import type { Annotations, InterfaceDefinition, Introspection } from './definition.js';
import { escapeXml } from './xml-text.js';

const DOCUMENT_TYPE = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`;

/** One element, without those of its attributes that are empty, and with what is in it. */
function element(
  name: string,
  attributes: Readonly<Record<string, string>>,
  content: readonly string[] = [],
): string {
  const text = Object.entries(attributes)
    .filter(([key, value]) => value !== '' || key === 'value')
    .map(([key, value]) => ` ${key}="${escapeXml(value)}"`)
    .join('');
  if (content.length === 0) return `<${name}${text}/>\n`;
  // In values line ends are escaped: those here all end lines of elements.
  const inner = content.join('').slice(0, -1).replaceAll('\n', '\n  ');
  return `<${name}${text}>\n  ${inner}\n</${name}>\n`;
}

function annotationElements(annotations: Annotations = {}, emitsChanged?: string): string[] {
  const own = emitsChanged === undefined ? [] : [[EMITS_CHANGED, emitsChanged] as const];
  return [...own, ...Object.entries(annotations)].map(([name, value]) =>
    element('annotation', { name, value }),
  );
}

function argElements(
  signature: string | undefined,
  names: readonly string[] | undefined,
  direction: string,
): string[] {
  return parseSignature(signature ?? '').map((type, index) =>
    element('arg', { name: names?.[index] ?? '', type: type.signature, direction }),
  );
}

function interfaceElement(definition: InterfaceDefinition): string {
  const { name, methods = {}, signals = {}, properties = {}, annotations } = checkDefinition(definition);
  return element('interface', { name }, [
    ...annotationElements(annotations),
    ...Object.entries(methods).map(([member, method]) =>
      element('method', { name: member }, [
        ...annotationElements(method.annotations),
        ...argElements(method.in, method.inNames, 'in'),
        ...argElements(method.out, method.outNames, 'out'),
      ]),
    ),
    ...Object.entries(signals).map(([member, signal]) =>
      element('signal', { name: member }, [
        ...annotationElements(signal.annotations),
        // Without a direction: signals have only one, and some readers know none there.
        ...argElements(signal.signature, signal.names, ''),
      ]),
    ),
    ...Object.entries(properties).map(([member, property]) =>
      element(
        'property',
        { name: member, type: property.type, access: property.access },
        annotationElements(property.annotations, property.emitsChanged),
      ),
    ),
  ]);
}

function childElement(name: string): string {
  if (typeof name === 'string' && name !== '' && isObjectPath(`/${name}`)) return element('node', { name });
  const message = `invalid introspection data: ${quoteName(name)} is no path from the object`;
  throw new InvalidTextError('invalid-introspection', message, 0);
}

/**
 * Formats introspection data as an XML document, document type included. Parsed again it gives equal definitions.
 * @throws {InvalidTextError} `invalid-interface`, or `invalid-introspection` for a child that is no path from the object
 */
export function formatIntrospection({ interfaces, children }: Introspection): string {
  const content = [...interfaces.map(interfaceElement), ...children.map(childElement)];
  return DOCUMENT_TYPE + element('node', {}, content);
}
