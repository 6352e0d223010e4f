/** Attributes of eager ops, as a graph states them. */
import type { OpAttribute, TensorFlowBinding } from "./binding.ts";
import { typeOf, type AttributeValue } from "./graph-node.ts";

/** An attribute as graphs state it, or null. */
export function attributeOf(
  binding: TensorFlowBinding,
  { type, value }: OpAttribute,
): AttributeValue | null {
  if (type === binding.TF_ATTR_TYPE && typeof value === "number") return typeOf(value);
  if (type === binding.TF_ATTR_BOOL) return { kind: "bool", bool: Boolean(value) };
  if (type === binding.TF_ATTR_FLOAT && typeof value === "number") {
    return { kind: "float", float: value };
  }
  if (type === binding.TF_ATTR_STRING && typeof value === "string") {
    return { kind: "string", string: value };
  }
  if (type === binding.TF_ATTR_SHAPE && Array.isArray(value)) {
    return { kind: "shape", shape: value.map(Number) };
  }
  if (type === binding.TF_ATTR_INT) {
    if (typeof value === "number") return { kind: "int", int: value };
    if (Array.isArray(value)) return { kind: "ints", ints: value.map(Number) };
  }
  return null;
}
