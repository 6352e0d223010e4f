/**
 * Formats in which weights lie in files, and how each becomes float32. Half precision is widened once, while loading:
 * master weights are float32 throughout.
 */

/** Formats that hold weights. */
export type FloatFormat = "F32" | "F16" | "BF16";

/** Bytes of one value by safetensors' name of its format; formats that hold no weights are known by size alone. */
export const formatBytes: ReadonlyMap<string, number> = new Map([
  ["BOOL", 1],
  ["U8", 1],
  ["I8", 1],
  ["F8_E5M2", 1],
  ["F8_E4M3", 1],
  ["I16", 2],
  ["U16", 2],
  ["F16", 2],
  ["BF16", 2],
  ["I32", 4],
  ["U32", 4],
  ["F32", 4],
  ["I64", 8],
  ["U64", 8],
  ["F64", 8],
]);

/** Whether weights can be read from this format. */
export function isFloatFormat(format: string): format is FloatFormat {
  return format === "F32" || format === "F16" || format === "BF16";
}

/** Widens IEEE 754 half-precision values, given as their bits. Subnormals, infinities and NaN are kept. */
export function widenHalf(bits: Uint16Array, target: Float32Array): void {
  for (let i = 0; i < bits.length; i += 1) {
    const value = bits[i] ?? 0;
    const sign = value & 0x8000 ? -1 : 1;
    const exponent = (value >> 10) & 0x1f;
    const fraction = value & 0x3ff;
    if (exponent === 0x1f) target[i] = fraction === 0 ? sign * Infinity : NaN;
    else if (exponent === 0) target[i] = sign * fraction * 2 ** -24;
    else target[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
}

/** Widens bfloat16 values, given as their bits: they are the upper half of a float32. */
export function widenBfloat16(bits: Uint16Array, target: Float32Array): void {
  const words = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < bits.length; i += 1) words[i] = (bits[i] ?? 0) << 16;
}
