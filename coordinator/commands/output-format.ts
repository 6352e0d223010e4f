/** How a command writes: for people, or a JSON object a line for programs. */
import { BadInput } from "../../foundation/bad-input.ts";

/** `text` for people, `jsonl` for programs. */
export type OutputFormat = "text" | "jsonl";

/** Reads `--format`; text when it is not given. Throws BadInput. */
export function outputFormat(raw: unknown): OutputFormat {
  if (raw === undefined || raw === "text") return "text";
  if (raw === "jsonl") return "jsonl";
  throw new BadInput({ flag: "--format", expected: "text or jsonl", found: JSON.stringify(raw) });
}
