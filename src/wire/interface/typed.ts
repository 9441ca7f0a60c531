/**
 * What an interface definition means to callers and handlers of it, as types: names of members, their arguments and results.
 * Nothing here is left at run time. Layer 4: imports lower layers only.
 *
 * A definition that is not known at compile time, such as one from XML, gives `string` for names and `unknown` for values.
 */
import type {
  ArgumentsOf,
  ArgumentsResultOf,
  ResultOf,
  SingleArgumentOf,
  SingleValueOf,
  ValuesOf,
} from '../types/infer.js';
import type { InterfaceDefinition } from './definition.js';

/** Members of one kind; `name` keeps a definition without any from looking unrelated. */
type MethodsOf<D> = D extends { readonly name: string; readonly methods?: infer Members }
  ? NonNullable<Members>
  : never;
type SignalsOf<D> = D extends { readonly name: string; readonly signals?: infer Members }
  ? NonNullable<Members>
  : never;
type PropertiesOf<D> = D extends { readonly name: string; readonly properties?: infer Members }
  ? NonNullable<Members>
  : never;

/** The names of the methods. */
export type MethodName<D extends InterfaceDefinition> = keyof MethodsOf<D> & string;
/** The names of the signals. */
export type SignalName<D extends InterfaceDefinition> = keyof SignalsOf<D> & string;
/** The names of the properties. */
export type PropertyName<D extends InterfaceDefinition> = keyof PropertiesOf<D> & string;
/** The names of the properties that can be read. */
export type ReadableName<D extends InterfaceDefinition> = WithAccess<PropertiesOf<D>, 'read' | 'readwrite'>;
/** The names of the properties that can be written. */
export type WritableName<D extends InterfaceDefinition> = WithAccess<PropertiesOf<D>, 'write' | 'readwrite'>;

/** Names of those properties whose access may be `Access`. */
type WithAccess<Properties, Access extends string> = {
  [P in keyof Properties & string]: Properties[P] extends { readonly access: infer A }
    ? A & Access extends never
      ? never
      : P
    : never;
}[keyof Properties & string];

/** A signature of a member, `''` where it is left out. */
type Signature<Member, Key extends string> = Member extends { readonly [K in Key]: infer S extends string }
  ? S
  : Key extends keyof Member
    ? string
    : '';

type In<D extends InterfaceDefinition, M extends MethodName<D>> = Signature<MethodsOf<D>[M], 'in'>;
type Out<D extends InterfaceDefinition, M extends MethodName<D>> = Signature<MethodsOf<D>[M], 'out'>;

/** The arguments of a method as a caller writes them: a tuple. */
export type MethodArguments<D extends InterfaceDefinition, M extends MethodName<D>> = ArgumentsOf<In<D, M>>;

/** What a method gives its caller: nothing, one value, or a tuple of several. */
export type MethodResult<D extends InterfaceDefinition, M extends MethodName<D>> = ResultOf<Out<D, M>>;

/** The parameters of a method of a proxy: the arguments, then `Options` that may be left out. */
export type MethodParameters<D extends InterfaceDefinition, M extends MethodName<D>, Options> =
  MethodArguments<D, M> extends infer Args extends readonly unknown[]
    ? number extends Args['length']
      ? readonly unknown[]
      : readonly [...Args, options?: Options]
    : never;

/** A method's handler: takes the arguments as they were read, then `Call`, and returns the result, now or later. */
export type MethodHandler<D extends InterfaceDefinition, M extends MethodName<D>, Call> =
  ValuesOf<In<D, M>> extends infer Values extends unknown[]
    ? number extends Values['length']
      ? // Parameters that nothing is known of: a handler may declare those it expects.
        // oxlint-disable-next-line typescript/no-explicit-any
        (...args: any[]) => unknown
      : (...args: [...Values, call: Call]) => HandlerResult<D, M> | PromiseLike<HandlerResult<D, M>>
    : never;

type HandlerResult<D extends InterfaceDefinition, M extends MethodName<D>> = ArgumentsResultOf<Out<D, M>>;

/** A handler for every method. */
export type MethodHandlers<D extends InterfaceDefinition, Call> = {
  readonly [M in MethodName<D>]: MethodHandler<D, M, Call>;
};

type PropertyType<D extends InterfaceDefinition, P extends PropertyName<D>> = Signature<
  PropertiesOf<D>[P],
  'type'
>;

/** The value of a property as it is read. */
export type PropertyValue<D extends InterfaceDefinition, P extends PropertyName<D>> = SingleValueOf<
  PropertyType<D, P>
>;

/** The value of a property as it may be written. */
export type PropertyArgument<D extends InterfaceDefinition, P extends PropertyName<D>> = SingleArgumentOf<
  PropertyType<D, P>
>;

type SignalSignature<D extends InterfaceDefinition, S extends SignalName<D>> = Signature<
  SignalsOf<D>[S],
  'signature'
>;

/** The values of a signal as they are read: a tuple. */
export type SignalValues<D extends InterfaceDefinition, S extends SignalName<D>> = ValuesOf<
  SignalSignature<D, S>
>;

/** The values of a signal as they may be written: a tuple. */
export type SignalArguments<D extends InterfaceDefinition, S extends SignalName<D>> = ArgumentsOf<
  SignalSignature<D, S>
>;
