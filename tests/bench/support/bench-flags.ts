/** The command line of a bench: a few flags over defaults; a wrong one is said and ends it with exit code 2. */
import { parseArgs } from "node:util";

/** What a flag may be: a number, a text, a list separated by commas, or a switch that is off by default. */
export type FlagDefault = number | string | readonly string[] | false;

type ValueOf<D> = D extends number
  ? number
  : D extends string
    ? string
    : D extends false
      ? boolean
      : readonly string[];

/** What was asked for. */
export type BenchFlags<T extends Readonly<Record<string, FlagDefault>>> = {
  readonly [K in keyof T]: ValueOf<T[K]>;
};

/** A command line that cannot be used; the message is for a person. */
export class WrongFlag extends Error {
  override readonly name = "WrongFlag";
}

function read(name: string, text: string, given: FlagDefault): unknown {
  if (typeof given === "number") {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < 0) {
      throw new WrongFlag(`--${name}: expected a number from 0, found "${text}"`);
    }
    return value;
  }
  return typeof given === "string" ? text : text.split(",");
}

/** Reads flags over defaults. Throws WrongFlag. */
export function readBenchFlags<T extends Readonly<Record<string, FlagDefault>>>(
  args: readonly string[],
  defaults: T,
): BenchFlags<T> {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      { type: value === false ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  let values: Readonly<Record<string, unknown>>;
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true }));
  } catch (error) {
    const known = Object.keys(defaults).map((name) => `--${name}`);
    const words = error instanceof Error ? error.message : String(error);
    throw new WrongFlag(`${words}; flags are ${known.join(", ")}`);
  }
  const merged = Object.entries(defaults).map(([name, given]) => {
    const value = values[name];
    return [name, typeof value === "string" ? read(name, value, given) : (value ?? given)];
  });
  // Each entry was read by the kind of its default.
  return Object.fromEntries(merged) as BenchFlags<T>;
}

/** Runs a bench: a wrong flag ends it with one line and exit code 2, any other failure with its trace. */
export async function runBench(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof WrongFlag)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
