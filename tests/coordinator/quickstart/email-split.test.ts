/** Held-out means held-out. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  isValidation,
  jsonLines,
  normalisedBody,
  splitEmails,
  type LabelledEmail,
} from "../../../coordinator/quickstart/email-split.ts";

const words = "apple birch cedar dahlia elder fir ginkgo hazel iris juniper".split(" ");
const many: LabelledEmail[] = Array.from({ length: 500 }, (_, index) => {
  const digits = String(index).padStart(3, "0").split("").map(Number);
  const body = `${digits.map((digit) => words[digit]).join(" ")} and so on and on`;
  return { subject: `subject ${index}`, body, label: index % 3 === 0 ? "spam" : "ham" };
});

describe("splitEmails()", () => {
  it("uses each body once, on one side, about a fifth of them for validation", () => {
    const copies = many.slice(0, 50).map((email) => ({ ...email, body: `${email.body}  #42!` }));
    const split = splitEmails([...many, ...copies]);
    assert.equal(split.train.length + split.validation.length, 500);
    assert.equal(split.duplicates, 50);
    assert.ok(split.validation.length > 60 && split.validation.length < 140);
    const bodyOf = ({ text }: { text: string }): string =>
      normalisedBody(text.split("\n")[1] ?? "");
    const seen = new Set(split.train.map(bodyOf));
    assert.equal(seen.size, split.train.length);
    assert.deepEqual(
      split.validation.filter((record) => seen.has(bodyOf(record))),
      [],
    );
  });

  it("does not depend on the order of the e-mails", () => {
    const shuffled = [...many].sort((left, right) => (left.body < right.body ? 1 : -1));
    assert.deepEqual(splitEmails(shuffled), splitEmails(many));
  });

  it("leaves out what stands under both labels, and what says nothing", () => {
    const body = "the very same words for everybody";
    const split = splitEmails([
      { subject: "a", body, label: "ham" },
      { subject: "b", body, label: "spam" },
      { subject: "c", body: "1234 [address]", label: "ham" },
    ]);
    assert.deepEqual(split, {
      train: [],
      validation: [],
      duplicates: 0,
      contradictions: 2,
      empty: 1,
    });
  });

  it("keeps the variants of one mailing on one side", () => {
    const start = normalisedBody("Guaranteed to lose ten pounds in thirty days. ".repeat(5));
    const sides = words.map((word) => isValidation(`${start}${word}`));
    assert.equal(new Set(sides).size, 1);
  });
});

describe("jsonLines()", () => {
  it("writes one object a line, whatever the text holds", () => {
    const lines = jsonLines([{ text: 'a "b"\nc', label: "ham" }]);
    assert.equal(lines, '{"text":"a \\"b\\"\\nc","label":"ham"}\n');
  });
});
