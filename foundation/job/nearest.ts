/** Finds what a misspelt name was meant to be. */
import { closest, distance } from "fastest-levenshtein";

/** The nearest of `names`, or null when none is near (more than a third of the letters differ, at least two). */
export function nearestName(name: string, names: readonly string[]): string | null {
  if (names.length === 0) return null;
  const nearest = closest(name, names);
  const allowed = Math.max(2, Math.floor(name.length / 3));
  return distance(name, nearest) <= allowed ? nearest : null;
}
