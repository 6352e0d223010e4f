/** References of what a recording does not compute itself. */

/** Reference of a variable's value within a recording. */
export function variableReference(index: number): string {
  return `variable/${index}`;
}

/** Reference of an input within a recording. */
export function inputReference(name: string): string {
  return `input/${name}`;
}
