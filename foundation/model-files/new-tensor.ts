/**
 * Values of tensors that a checkpoint lacks, drawn from (seed, tensor name) alone: the same on every machine, whatever
 * else is new. The draw is not PyTorch's: only the distribution is.
 */
import { createHash } from "node:crypto";

/**
 * Fills with values of a normal distribution of mean 0 (Box-Muller over SHA-256 in counter mode).
 * @param deviation standard deviation; 0 fills with zeros
 */
export function drawNormal(
  target: Float32Array,
  options: { readonly seed: number; readonly name: string; readonly deviation: number },
): void {
  const { seed, name, deviation } = options;
  if (deviation === 0) {
    target.fill(0);
    return;
  }
  // A digest of 32 bytes gives four pairs of words, a pair gives two values.
  for (let start = 0; start < target.length; start += 8) {
    const digest = createHash("sha256").update(`${seed}\0${name}\0${start}`).digest();
    for (let pair = 0; pair < 4; pair += 1) {
      const uniform = (digest.readUInt32LE(pair * 8) + 0.5) / 2 ** 32;
      const angle = (digest.readUInt32LE(pair * 8 + 4) / 2 ** 32) * 2 * Math.PI;
      const radius = deviation * Math.sqrt(-2 * Math.log(uniform));
      const at = start + pair * 2;
      if (at < target.length) target[at] = radius * Math.cos(angle);
      if (at + 1 < target.length) target[at + 1] = radius * Math.sin(angle);
    }
  }
}
