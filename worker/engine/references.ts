/** References: of what a recording does not compute itself, and how an op's first output is called. */

/** Reference of a variable's value within a recording. */
export function variableReference(index: number): string {
  return `variable/${index}`;
}

/** Reference of an input within a recording. */
export function inputReference(name: string): string {
  return `input/${name}`;
}

/** A reference without `:0`: both mean a node's first output. */
export function plainReference(reference: string): string {
  return reference.replace(/:0$/u, "");
}
