/** How many threads each worker's TensorFlow gets. Pure. */

/**
 * The cores shared out, at least one each; null leaves it to each worker's TensorFlow.
 * @param wanted the user's own number, or null
 * @param workersHere workers that share this machine; 0 when they run elsewhere
 */
export function threadsOf(
  wanted: number | null,
  cores: number,
  workersHere: number,
): number | null {
  if (wanted !== null) return wanted;
  if (workersHere === 0) return null;
  return Math.max(1, Math.floor(cores / workersHere));
}
