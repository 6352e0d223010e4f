/**
 * Commands as they come from outside: what a request may say, and what is answered. Pure.
 */
import { z } from "zod";
import { controlVerbs, isControlVerb, type ControlVerb } from "../../proto/subjects.ts";

/** A request that passed the checks. */
export interface Command {
  /** The client's own id, or one that the coordinator gave it; a repeated id gets the first answer again. */
  readonly id: string;
  readonly verb: ControlVerb;
  /** The new learning rate of `set-learning-rate`; null for the other verbs. */
  readonly value: number | null;
}

/** What the run says to a command. */
export type CommandDecision =
  /** `step`: first step that the command concerns. */
  | { readonly accepted: true; readonly step: number }
  | { readonly accepted: false; readonly reason: string };

/** The answer to a request, as JSON. */
export type CommandAnswer =
  | {
      readonly accepted: true;
      readonly id: string;
      readonly verb: ControlVerb;
      readonly step: number;
      readonly value?: number;
    }
  | { readonly accepted: false; readonly verb: string; readonly reason: string };

const requestSchema = z.strictObject({
  id: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, "at most 64 letters, digits, - and _")
    .optional(),
  value: z.number().optional(),
});

/** The answer's schema, for clients. */
export const answerSchema: z.ZodType<CommandAnswer> = z.discriminatedUnion("accepted", [
  z.object({
    accepted: z.literal(true),
    id: z.string(),
    verb: z.enum(controlVerbs),
    step: z.number(),
    value: z.number().exactOptional(),
  }),
  z.object({ accepted: z.literal(false), verb: z.string(), reason: z.string() }),
]);

/** A checked request, or the reason why it is refused. */
export type ParsedCommand =
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "refused"; readonly verb: string; readonly reason: string };

function requestOf(text: string): { id?: string; value?: number } | string {
  let json: unknown;
  try {
    json = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    return `expected JSON such as {"value": 0.00003} or nothing, found ${text.slice(0, 60)}`;
  }
  const parsed = requestSchema.safeParse(json);
  if (parsed.success) {
    const { id, value } = parsed.data;
    return { ...(id === undefined ? {} : { id }), ...(value === undefined ? {} : { value }) };
  }
  return parsed.error.issues
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
    .join("; ");
}

/**
 * Checks a request. `verb` is the last token of its subject, `text` its payload (empty, or JSON with `value` and `id`),
 * `freshId` names a request that brings no id.
 */
export function parseCommand(verb: string, text: string, freshId: () => string): ParsedCommand {
  const refused = (reason: string): ParsedCommand => ({ kind: "refused", verb, reason });
  if (!isControlVerb(verb)) return refused(`no such command; there are ${controlVerbs.join(", ")}`);
  const request = requestOf(text);
  if (typeof request === "string") return refused(request);
  const { value = null } = request;
  if (verb === "set-learning-rate") {
    if (value === null) return refused(`value: expected the new learning rate, found none`);
    if (!Number.isFinite(value) || value < 0 || value > 1) {
      return refused(`value: expected a learning rate from 0 to 1, found ${value}`);
    }
  } else if (value !== null) {
    return refused(`value: expected none for ${verb}, found ${value}`);
  }
  return { kind: "command", command: { id: request.id ?? freshId(), verb, value } };
}

/** The answer to a checked command. */
export function answerOf(command: Command, decision: CommandDecision): CommandAnswer {
  const { id, verb, value } = command;
  return decision.accepted
    ? { accepted: true, id, verb, step: decision.step, ...(value === null ? {} : { value }) }
    : { accepted: false, verb, reason: decision.reason };
}
