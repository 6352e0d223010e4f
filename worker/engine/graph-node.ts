/** A TensorFlow graph as plain values: what the recorder makes, passes rewrite and the writer encodes. */

import { anyLength } from "../model/input-shape.ts";

/** TensorFlow's numbers of the types used here. */
export const dataTypes = { float32: 1, int32: 3, bool: 10, bfloat16: 14, half: 19 } as const;

/** Value of an attribute. */
export type AttributeValue =
  | { readonly kind: "type"; readonly type: number }
  | { readonly kind: "int"; readonly int: number }
  | { readonly kind: "float"; readonly float: number }
  | { readonly kind: "bool"; readonly bool: boolean }
  | { readonly kind: "string"; readonly string: string }
  | { readonly kind: "shape"; readonly shape: readonly number[] }
  | { readonly kind: "ints"; readonly ints: readonly number[] }
  | {
      readonly kind: "tensor";
      readonly dtype: number;
      readonly shape: readonly number[];
      readonly bytes: Uint8Array;
    };

/** A segment of the forward pass, counted from 0, that can be computed again; or the backward pass. */
export type NodePart = number | "backward";

/** One node. Inputs are `node` or `node:output`, control inputs `^node`. */
export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Where the model says so; absent elsewhere. */
  readonly part?: NodePart;
}

/** An attribute that names a type. */
export function typeOf(type: number): AttributeValue {
  return { kind: "type", type };
}

/** Appends nodes of one name scope; every method returns the new node's name. */
export class GraphScope {
  readonly nodes: GraphNode[];
  readonly prefix: string;
  #count = 0;

  constructor(nodes: GraphNode[], prefix: string) {
    this.nodes = nodes;
    this.prefix = prefix;
  }

  /** Adds a node of any op; `name` defaults to the op and a number. */
  add(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>>,
    name = `${op}_${this.#count++}`,
  ): string {
    const whole = `${this.prefix}${name}`;
    this.nodes.push({ name: whole, op, inputs, attributes });
    return whole;
  }

  /** A float32 constant. */
  floats(values: readonly number[], shape: readonly number[], name?: string): string {
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    return this.#constant({ dtype: dataTypes.float32, shape, bytes }, [], name);
  }

  /** An int32 constant. */
  ints(
    values: readonly number[],
    shape: readonly number[] = [values.length],
    name?: string,
  ): string {
    const bytes = new Uint8Array(Int32Array.from(values).buffer);
    return this.#constant({ dtype: dataTypes.int32, shape, bytes }, [], name);
  }

  /** A constant that is fetched to make the nodes before it run. */
  after(nodes: readonly string[], name: string): string {
    const bytes = new Uint8Array(Float32Array.of(1).buffer);
    const controls = nodes.map((node) => `^${node}`);
    return this.#constant({ dtype: dataTypes.float32, shape: [], bytes }, controls, name);
  }

  #constant(
    value: {
      readonly dtype: number;
      readonly shape: readonly number[];
      readonly bytes: Uint8Array;
    },
    controls: readonly string[],
    name?: string,
  ): string {
    const attributes = { dtype: typeOf(value.dtype), value: { kind: "tensor", ...value } } as const;
    return this.add("Const", controls, attributes, name);
  }

  /** A value that is fed. */
  placeholder(name: string, dtype: number, shape: readonly number[]): string {
    return this.add(
      "Placeholder",
      [],
      { dtype: typeOf(dtype), shape: { kind: "shape", shape } },
      name,
    );
  }

  /** A float32 vector of any length that is fed. */
  vector(name: string): string {
    return this.add("Placeholder", [], { dtype: typeOf(dataTypes.float32) }, name);
  }

  /** Floats that may be fed, as many as one likes; nothing where they are not. */
  optionalFloats(name: string): string {
    const nothing = this.floats([], [0]);
    const shape = { kind: "shape", shape: [anyLength] } as const;
    return this.add(
      "PlaceholderWithDefault",
      [nothing],
      { dtype: typeOf(dataTypes.float32), shape },
      name,
    );
  }

  /** A float32 op of one type attribute `T`. */
  float(op: string, ...inputs: readonly string[]): string {
    return this.add(op, inputs, { T: typeOf(dataTypes.float32) });
  }

  /** Reshapes a float32 value. */
  reshape(value: string, shape: readonly number[]): string {
    const attributes = { T: typeOf(dataTypes.float32), Tshape: typeOf(dataTypes.int32) };
    return this.add("Reshape", [value, this.ints(shape)], attributes);
  }

  /** Joins float32 vectors to one. */
  concat(values: readonly string[], name?: string): string {
    const [only] = values;
    if (values.length === 1 && only !== undefined) {
      return this.add("Identity", [only], { T: typeOf(dataTypes.float32) }, name);
    }
    return this.add(
      "ConcatV2",
      [...values, this.ints([0], [])],
      {
        N: { kind: "int", int: values.length },
        T: typeOf(dataTypes.float32),
        Tidx: typeOf(dataTypes.int32),
      },
      name,
    );
  }

  /** Elements `begin` to `begin + size` of a float32 vector. */
  slice(value: string, begin: number, size: number): string {
    const attributes = { T: typeOf(dataTypes.float32), Index: typeOf(dataTypes.int32) };
    return this.add("Slice", [value, this.ints([begin]), this.ints([size])], attributes);
  }
}
