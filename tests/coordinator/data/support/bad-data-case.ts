/** The form of a table row of bad data. */
import type { BadInputPlace } from "../../../../foundation/bad-input.ts";
import type { DataSettings } from "../../../../foundation/job/settings.ts";

/** Data that must be refused, and what the message must say. */
export interface BadDataCase {
  readonly name: string;
  readonly file?: string;
  readonly content: string | Uint8Array;
  readonly place: Partial<Omit<BadInputPlace, "expected" | "found">>;
  readonly expected: RegExp;
  readonly found?: RegExp;
  readonly labels?: readonly string[];
  readonly settings?: Partial<DataSettings>;
}
