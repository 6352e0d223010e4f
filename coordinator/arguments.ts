/**
 * Brings the command line into the one form that the option parser reads: snake_case flags in kebab-case, `--flag true`
 * as `--flag`, `--flag false` as `--no-flag`, and a flag of transformers without a value as `--flag=true`.
 */
import { BadInput } from "../foundation/bad-input.ts";

/** Names, in kebab-case and without dashes, of flags that need no value. */
export interface BooleanFlags {
  /** Flags of ours, which have a `--no-` form. */
  readonly own: ReadonlySet<string>;
  /** Flags of transformers' TrainingArguments that are no settings of ours. */
  readonly foreign: ReadonlySet<string>;
}

const longFlag = /^--([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?$/s;
const words: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["yes", true],
  ["on", true],
  ["1", true],
  ["false", false],
  ["no", false],
  ["off", false],
  ["0", false],
]);

function truthOf(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : words.get(text.toLowerCase());
}

/** The flag's name without `no-`, and whether it had it. */
function positive(name: string, flags: BooleanFlags): { name: string; truth: boolean } | null {
  if (flags.own.has(name) || flags.foreign.has(name)) return { name, truth: true };
  const rest = name.startsWith("no-") ? name.slice(3) : "";
  return flags.own.has(rest) || flags.foreign.has(rest) ? { name: rest, truth: false } : null;
}

function written(flag: { name: string; truth: boolean }, flags: BooleanFlags): string {
  if (flags.foreign.has(flag.name)) return `--${flag.name}=${String(flag.truth)}`;
  return flag.truth ? `--${flag.name}` : `--no-${flag.name}`;
}

/** The arguments in one form. Everything after `--` is left alone. */
export function normalizeArguments(given: readonly string[], flags: BooleanFlags): string[] {
  const result: string[] = [];
  for (let index = 0; index < given.length; index += 1) {
    const argument = given[index] ?? "";
    if (argument === "--") return [...result, ...given.slice(index)];
    const parts = longFlag.exec(argument);
    const name = parts?.[1]?.replaceAll("_", "-");
    if (parts === null || name === undefined) {
      result.push(argument);
      continue;
    }
    const flag = positive(name, flags);
    const value = parts[2];
    if (flag === null) {
      result.push(value === undefined ? `--${name}` : `--${name}=${value}`);
      continue;
    }
    const next = value ?? given[index + 1];
    const truth = truthOf(next);
    if (value !== undefined && truth === undefined) {
      throw new BadInput({ flag: `--${name}`, expected: "true or false", found: value });
    }
    if (value === undefined && truth !== undefined) index += 1;
    result.push(
      written({ name: flag.name, truth: truth === false ? !flag.truth : flag.truth }, flags),
    );
  }
  return result;
}
