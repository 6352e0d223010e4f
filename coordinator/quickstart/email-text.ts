/** What an e-mail says: subject and readable body, nothing else of its headers. */
import PostalMime from "postal-mime";
import { withoutBodyMarks, withoutSubjectMarks } from "./collection-marks.ts";
import { htmlText, looksLikeHtml } from "./html-text.ts";

/** The two texts of an e-mail, each on one line. */
export interface EmailText {
  readonly subject: string;
  readonly body: string;
}

const bodyLettersMin = 20;
// Far beyond the longest sequence that a BERT reads.
const bodyCharactersMax = 4000;
const halfCharacter = /[\ud800-\udbff]$/;

// What windows-1252 has where Unicode has the control characters U+0080 to U+009F; a blank where it has nothing.
const windowsCharacters = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";
const firstControl = 0x80;

/**
 * Node versions differ in what they decode: some take windows-1252 for Latin 1, some keep private characters that others
 * replace. The same characters come out of all of them here.
 */
function withoutControls(text: string): string {
  return text
    .replaceAll(
      /[\u0080-\u009f]/g,
      (control) => windowsCharacters[control.charCodeAt(0) - firstControl] ?? " ",
    )
    .replaceAll(/[\p{Cc}\p{Co}\p{Cs}\ufffd]+/gu, " ");
}

function onOneLine(text: string): string {
  return withoutControls(text).replaceAll(/\s+/g, " ").trim();
}

/**
 * Decodes transfer encodings and character sets, prefers the plain part, takes the words out of HTML where there is none,
 * and removes the collection's marks. Broken MIME structure yields what can be read of it.
 */
export async function readEmail(raw: Uint8Array): Promise<EmailText> {
  const email = await PostalMime.parse(raw);
  const plain = email.text ?? "";
  const letters = plain.match(/\p{L}/gu)?.length ?? 0;
  const chosen = letters < bodyLettersMin ? (email.html ?? plain) : plain;
  const readable = looksLikeHtml(chosen) ? htmlText(chosen) : chosen;
  return {
    subject: onOneLine(withoutSubjectMarks(email.subject ?? "")),
    body: onOneLine(withoutBodyMarks(readable))
      .slice(0, bodyCharactersMax)
      .replace(halfCharacter, ""),
  };
}
