/**
 * Makes training and validation records of e-mails, so that nothing of a validation record was seen in training: each
 * body counts once, and a stable hash of what it says decides its side before anything else is done.
 */
import { createHash } from "node:crypto";
import type { EmailText } from "./email-text.ts";

/** An e-mail whose group in the collection told its label. */
export interface LabelledEmail extends EmailText {
  readonly label: "ham" | "spam";
}

/** One line of the files. */
export interface EmailRecord {
  readonly text: string;
  readonly label: "ham" | "spam";
}

/** Both sides, and what was left out. */
export interface SplitEmails {
  readonly train: readonly EmailRecord[];
  readonly validation: readonly EmailRecord[];
  readonly duplicates: number;
  /** E-mails whose body stands under both labels. */
  readonly contradictions: number;
  /** E-mails without a readable body. */
  readonly empty: number;
}

const validationShare = 0.2;
const splitLetters = 120;
const bodyLettersMin = 20;

/** What is left of a body when only its letters count: counters, tracking numbers and layout do not make another body. */
export function normalisedBody(body: string): string {
  return body
    .replaceAll("[address]", "")
    .toLowerCase()
    .replaceAll(/[^\p{L}]+/gu, "");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Whether a body belongs to the validation side. Only its first letters are hashed, so that the variants of one mailing,
 * which begin alike, are on one side.
 */
export function isValidation(normalised: string): boolean {
  const hashDigits = 8;
  const hash = Number.parseInt(sha256(normalised.slice(0, splitLetters)).slice(0, hashDigits), 16);
  return hash / 2 ** 32 < validationShare;
}

/** Deduplicates and splits. The order of the records follows the bodies' hashes, whatever the order of the e-mails. */
export function splitEmails(emails: readonly LabelledEmail[]): SplitEmails {
  const byBody = new Map<string, LabelledEmail[]>();
  let empty = 0;
  for (const email of emails) {
    const normalised = normalisedBody(email.body);
    const same = byBody.get(normalised);
    if (normalised.length < bodyLettersMin) empty += 1;
    else if (same === undefined) byBody.set(normalised, [email]);
    else same.push(email);
  }
  const train: EmailRecord[] = [];
  const validation: EmailRecord[] = [];
  let duplicates = 0;
  let contradictions = 0;
  const ordered = [...byBody].map(([normalised, same]) => ({
    normalised,
    same,
    hash: sha256(normalised),
  }));
  ordered.sort((left, right) => (left.hash < right.hash ? -1 : 1));
  for (const { normalised, same } of ordered) {
    const labels = new Set(same.map(({ label }) => label));
    if (labels.size > 1) {
      contradictions += same.length;
      continue;
    }
    duplicates += same.length - 1;
    // Copies may differ in their subjects: the least one is taken, whatever order they came in.
    const texts = same.map(({ subject, body }) => `${subject}\n${body}`.trim()).sort();
    const record: EmailRecord = { text: texts[0] ?? "", label: same[0]?.label ?? "ham" };
    (isValidation(normalised) ? validation : train).push(record);
  }
  return { train, validation, duplicates, contradictions, empty };
}

/** The file's content: one JSON object a line. */
export function jsonLines(records: readonly EmailRecord[]): string {
  return records.map(({ text, label }) => `${JSON.stringify({ text, label })}\n`).join("");
}
