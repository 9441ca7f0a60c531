/**
 * What every object answers without being asked to: Peer, Introspectable, Properties; and ObjectManager where it is wanted
 * (D-Bus specification, "Standard Interfaces"). Layer 8: imports lower layers only.
 */
import type { Variant } from '../codec/variant.js';
import type { InterfaceDefinition } from '../interface/definition.js';
import { formatIntrospection } from '../interface/format-introspection.js';
import type { MethodHandlers } from '../interface/typed.js';
import { remember } from '../types/signature.js';
import { INTROSPECTABLE, PEER, PROPERTIES } from '../types/standard-names.js';
import { ErrorName } from './error-names.js';
import { type Compiled, compileInterface, type IncomingCall, type Property } from './implementation.js';
import { MethodError } from './method-error.js';
import type { ObjectNode, ObjectTree } from './object-tree.js';
import { type Report, readProperties, readProperty, whenAll } from './property-values.js';

const PEER_DEFINITION = {
  name: PEER,
  methods: { Ping: {}, GetMachineId: { out: 's', outNames: ['machine_uuid'] } },
} as const;

const INTROSPECTABLE_DEFINITION = {
  name: INTROSPECTABLE,
  methods: { Introspect: { out: 's', outNames: ['xml_data'] } },
} as const;

const PROPERTIES_DEFINITION = {
  name: PROPERTIES,
  methods: {
    Get: { in: 'ss', inNames: ['interface_name', 'property_name'], out: 'v', outNames: ['value'] },
    GetAll: { in: 's', inNames: ['interface_name'], out: 'a{sv}', outNames: ['properties'] },
    Set: { in: 'ssv', inNames: ['interface_name', 'property_name', 'value'] },
  },
  signals: {
    PropertiesChanged: {
      signature: 'sa{sv}as',
      names: ['interface_name', 'changed_properties', 'invalidated_properties'],
    },
  },
} as const;

export const OBJECT_MANAGER_DEFINITION = {
  name: 'org.freedesktop.DBus.ObjectManager',
  methods: {
    GetManagedObjects: { out: 'a{oa{sa{sv}}}', outNames: ['objpath_interfaces_and_properties'] },
  },
  signals: {
    InterfacesAdded: {
      signature: 'oa{sa{sv}}',
      names: ['object_path', 'interfaces_and_properties'],
    },
    InterfacesRemoved: { signature: 'oas', names: ['object_path', 'interfaces'] },
  },
} as const;

/** What the standard interfaces speak of. */
export interface Exports {
  readonly tree: ObjectTree;
  readonly report: Report;
  machineId(): string;
}

type Handlers<Definition extends InterfaceDefinition> = MethodHandlers<Definition, IncomingCall>;

/** The interfaces that every object has, by name, and the one that an ObjectManager has besides. */
export interface StandardInterfaces {
  readonly common: ReadonlyMap<string, Compiled>;
  readonly objectManager: Compiled;
  /** To be called whenever something is exported or not any more. */
  forgetDocuments(): void;
}

/**
 * Introspection data is kept of so many objects: writing that of an object with 20,000 children takes 150 ms, for which no
 * caller should be able to ask again and again.
 */
const MAX_DOCUMENTS = 16;

function nodeOf(tree: ObjectTree, call: IncomingCall): ObjectNode {
  const node = tree.find(call.message.path ?? '');
  if (node === undefined) throw new MethodError(ErrorName.unknownObject, 'there is no such object');
  return node;
}

/** The standard interfaces over the objects of `exports`. */
export function standardInterfaces(exports: Exports): StandardInterfaces {
  const { tree, report } = exports;
  const documents = new Map<ObjectNode, string>();

  const peer: Handlers<typeof PEER_DEFINITION> = {
    Ping: () => undefined,
    GetMachineId: () => exports.machineId(),
  };

  const introspectable: Handlers<typeof INTROSPECTABLE_DEFINITION> = {
    Introspect(call) {
      const node = nodeOf(tree, call);
      let document = documents.get(node);
      if (document === undefined) {
        document = formatIntrospection({
          interfaces: [
            ...Array.from(node.interfaces.values(), ({ implementation }) => implementation.definition),
            ...Array.from(common.values(), ({ definition }) => definition),
          ],
          children: [...node.children.keys()],
        });
        remember(documents, node, document, MAX_DOCUMENTS);
      }
      return document;
    },
  };

  /** The property, with an empty `interfaceName` that of the interface exported first which has one of that name. */
  function propertyOf(call: IncomingCall, interfaceName: string, member: string): Property {
    const { interfaces } = nodeOf(tree, call);
    let property: Property | undefined;
    if (interfaceName === '') {
      for (const { implementation } of interfaces.values())
        property ??= implementation.properties.get(member);
    } else if (interfaces.has(interfaceName) || common.has(interfaceName)) {
      property = interfaces.get(interfaceName)?.implementation.properties.get(member);
    } else {
      throw new MethodError(ErrorName.unknownInterface, 'the object has no such interface');
    }
    if (property === undefined) {
      throw new MethodError(ErrorName.unknownProperty, 'the object has no such property');
    }
    return property;
  }

  const properties: Handlers<typeof PROPERTIES_DEFINITION> = {
    Get(interfaceName, member, call) {
      const property = propertyOf(call, interfaceName, member);
      if (property.get === undefined) {
        throw new MethodError(ErrorName.accessDenied, 'the property cannot be read');
      }
      return readProperty(property);
    },

    GetAll(interfaceName, call) {
      const { path, interfaces } = nodeOf(tree, call);
      const exported = interfaces.get(interfaceName);
      if (interfaceName !== '' && exported === undefined && !common.has(interfaceName)) {
        throw new MethodError(ErrorName.unknownInterface, 'the object has no such interface');
      }
      const asked =
        interfaceName === '' ? [...interfaces.values()] : exported === undefined ? [] : [exported];
      const reading = asked.map((one) => readProperties(path, one, report));
      return whenAll(reading, (values) => {
        const all = new Map<string, Variant>();
        for (const [member, value] of values.flatMap((some) => [...some])) {
          // Of two interfaces with a property of one name the first counts, as in `Get`.
          if (!all.has(member)) all.set(member, value);
        }
        return all;
      });
    },

    async Set(interfaceName, member, value, call) {
      const property = propertyOf(call, interfaceName, member);
      if (property.set === undefined) {
        throw new MethodError(ErrorName.propertyReadOnly, 'the property cannot be written');
      }
      if (value.signature !== property.type) {
        throw new MethodError(ErrorName.invalidArgs, `the property is of type '${property.type}'`);
      }
      await property.set(value.value, call);
    },
  };

  const objectManager: Handlers<typeof OBJECT_MANAGER_DEFINITION> = {
    GetManagedObjects(call) {
      const entries = Array.from(tree.below(nodeOf(tree, call))).flatMap((node) =>
        Array.from(node.interfaces, ([name, exported]) => ({ node, name, exported })),
      );
      const reading = entries.map(({ node, exported }) => readProperties(node.path, exported, report));
      return whenAll(reading, (values) => {
        const objects = new Map<string, Map<string, Map<string, Variant>>>();
        entries.forEach(({ node, name, exported }, index) => {
          // Not what has gone while the getters ran: of that InterfacesRemoved has been sent, before this reply.
          if (node.interfaces.get(name) !== exported) return;
          const interfaces = objects.get(node.path) ?? new Map<string, Map<string, Variant>>();
          objects.set(node.path, interfaces.set(name, values[index] as Map<string, Variant>));
        });
        return objects;
      });
    },
  };

  const common = new Map(
    [
      compileInterface(PEER_DEFINITION, { methods: peer }),
      compileInterface(INTROSPECTABLE_DEFINITION, { methods: introspectable }),
      compileInterface(PROPERTIES_DEFINITION, { methods: properties }),
    ].map((compiled) => [compiled.definition.name, compiled]),
  );
  return {
    common,
    objectManager: compileInterface(OBJECT_MANAGER_DEFINITION, { methods: objectManager }),
    forgetDocuments: () => documents.clear(),
  };
}
