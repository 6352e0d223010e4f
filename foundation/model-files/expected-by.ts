/** Words for what a schema wanted, for the messages of bad input. */
import type { z } from "zod";

/** What would have been right, from zod's words: `number`, `one of a, b`, or the schema's own message. */
export function expectedBy(issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return "a valid value";
  if (issue.code === "invalid_value" && issue.values.length > 1) {
    return `one of ${issue.values.map(String).join(", ")}`;
  }
  return issue.message
    .replace(/^(?:Invalid input|Too small|Too big): expected /, "")
    .replace(/, received .*$/, "");
}
