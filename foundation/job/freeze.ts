/** Which parameters the patterns of `--freeze` mean. */
import { BadInput } from "../bad-input.ts";
import type { TensorSpec } from "../parameters/table.ts";
import { nearestName } from "./nearest.ts";

const nearNamesMax = 3;

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

/** One dotted part of a pattern against one of a name; `0-3` means 0, 1, 2 and 3. */
function partMatches(pattern: string, part: string): boolean {
  const range = /^(\d+)-(\d+)$/.exec(pattern);
  if (range === null) return pattern === part;
  return /^\d+$/.test(part) && Number(part) >= Number(range[1]) && Number(part) <= Number(range[2]);
}

function runMatches(pattern: readonly string[], parts: readonly string[]): boolean {
  return parts.some((_, start) =>
    pattern.every((wanted, index) => partMatches(wanted, parts[start + index] ?? "")),
  );
}

/**
 * Whether a pattern means a name. With `*` (any characters), the pattern matches from a dot or the start to the end of
 * the name; without, it is a run of whole dotted parts, in which `0-3` is a range of layers.
 */
export function freezes(pattern: string, name: string): boolean {
  if (!pattern.includes("*")) return runMatches(pattern.split("."), name.split("."));
  const source = pattern.split("*").map(escaped).join(".*");
  return new RegExp(`(^|\\.)${source}$`).test(name);
}

/** Names and runs of parts that a user may have meant. */
function candidates(names: readonly string[]): readonly string[] {
  const prefixes = names.flatMap((name) => {
    const parts = name.split(".");
    return parts.flatMap((_, start) =>
      parts.slice(start).map((__, length) => parts.slice(start, start + length + 1).join(".")),
    );
  });
  return [...new Set(prefixes)];
}

function nearNames(pattern: string, names: readonly string[]): string {
  let left = candidates(names);
  const near: string[] = [];
  while (near.length < nearNamesMax) {
    const nearest = nearestName(pattern, left);
    if (nearest === null) break;
    near.push(nearest);
    left = left.filter((name) => name !== nearest);
  }
  if (near.length > 0) return `did you mean ${near.join(", ")}?`;
  return `there are ${[...new Set(names.map((name) => name.split(".").slice(0, 2).join(".")))].slice(0, 6).join(", ")}, …`;
}

/**
 * Names of the parameters that do not train.
 * @throws BadInput for a pattern that means no parameter, with near names, and when nothing is left to train
 */
export function frozenNames(
  patterns: readonly string[],
  specs: readonly TensorSpec[],
): ReadonlySet<string> {
  const names = specs.filter((spec) => spec.kind === "parameter").map((spec) => spec.name);
  const frozen = new Set<string>();
  for (const pattern of patterns) {
    const matched = names.filter((name) => freezes(pattern, name));
    if (matched.length === 0) {
      throw new BadInput({
        flag: "--freeze",
        expected: "a pattern that some parameter's name matches",
        found: pattern,
        remedy: nearNames(pattern, names),
      });
    }
    for (const name of matched) frozen.add(name);
  }
  if (frozen.size === names.length && names.length > 0) {
    throw new BadInput({
      flag: "--freeze",
      expected: "patterns that leave something to train",
      found: `all ${names.length} parameters frozen`,
    });
  }
  return frozen;
}
