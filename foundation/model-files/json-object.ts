/**
 * JSON files of a model folder come from anywhere. This is the one door through which their text becomes an object:
 * broken UTF-8, broken JSON and `__proto__` keys are refused here, with the file's name.
 */
import { BadInput } from "../bad-input.ts";

/** An object as JSON has it; every value still has to be checked. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is an object with string keys (no array, not null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Bytes as text. Throws BadInput where they are no UTF-8; a byte order mark is dropped. */
export function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BadInput({ file, expected: "text in UTF-8", found: "bytes that are none" });
  }
}

/** Parses text whose top level must be an object. Throws BadInput for anything else, and for `__proto__` keys. */
export function parseJsonObject(text: string, file: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BadInput({ file, expected: "JSON", found: reason });
  }
  if (!isJsonObject(value)) {
    const found = Array.isArray(value) ? "an array" : String(value);
    throw new BadInput({ file, expected: "a JSON object", found });
  }
  if (mayNamePrototype.test(text)) refusePrototypeKeys(value, file);
  return value;
}

/** The key as it is, or an escape that one of its characters can be written as: other texts need not be walked. */
const mayNamePrototype = /__proto__|\\u00[5-7]/i;

/** Walks with a list of its own: the nesting of a hostile file must not exhaust the stack. */
function refusePrototypeKeys(root: JsonObject, file: string): void {
  const pending: unknown[] = [root];
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== "object" || value === null) continue;
    if (Object.hasOwn(value, "__proto__")) {
      throw new BadInput({ file, expected: "keys other than __proto__", found: "__proto__" });
    }
    for (const child of Object.values(value)) pending.push(child);
  }
}
