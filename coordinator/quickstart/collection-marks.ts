/**
 * Removes what tells how an e-mail came into the collection instead of what it says: filters' reports, mailing lists'
 * tags and footers, gateways' lines, the collectors' addresses. Ham was collected from a few lists, so that their marks
 * alone would give the label away. What a sender wrote himself stays, "to be removed" included.
 */

const filterMark = /\*{2,}\s*SPAM\s*\*{2,}\s*/gi;
const replyMarks = String.raw`(?:(?:re|fwd?|aw)(?:\[\d+\])?:\s*)*`;
const listTag = new RegExp(String.raw`^(${replyMarks})\[[^\]]{1,40}\]\s*`, "i");

/**
 * A subject without filters' marks and leading list tags (`Re: [ILUG] fonts` → `Re: fonts`); every e-mail address
 * becomes `[address]`.
 */
export function withoutSubjectMarks(subject: string): string {
  let text = subject.replace(filterMark, "").replace(address, "[address]").trim();
  for (let before = ""; before !== text;) {
    before = text;
    text = text.replace(listTag, "$1");
  }
  return text;
}

/** Header lines of any e-mail inside the body, and filters' reports. */
const headerLine =
  /^[>|\s]*(X-[\w-]+|List-[\w-]+|Received|Return-Path|Delivered-To|Message-ID|In-Reply-To|References|Errors-To|Sender|Precedence|Mailing-List|MIME-Version|Content-[\w-]+):/i;
const filterReportLine = /^[>|\s]*SPAM: /;
const listLine =
  /listinfo|mailman|mailing list\s*(<|$)|listmaster@|list maintainer:|Irish Linux Users' Group|egroups\.com|Yahoo! Groups|docs\.yahoo\.com\/info\/terms|To unsubscribe from this group|sf\.net email is sponsored by|Welcome to geek heaven|thinkgeek\.com\/sf|http:\/\/lists\.|-(request|unsubscribe)@/i;
const ruleLine = /^[>|\s]*[-_=~*]{5,}[->_~\s]*$/;
/** What a gateway from news feeds puts before each item. */
const feedLine = /^(URL|Date): /;
const feedLinesMax = 4;
const signedBlock =
  /-----BEGIN PGP SIGNATURE-----[\s\S]*?(-----END PGP SIGNATURE-----|$)|-----BEGIN PGP SIGNED MESSAGE-----(\s*\nHash: .*)?/g;
const sponsorBlock = /^[>|\s]*-+ Yahoo! Groups Sponsor .*\n[\s\S]{0,2000}?-{5,}[_~]*-*>.*$/gm;
const sourceForgeAdvert =
  /^[>|\s]*(-+\s*\n[>|\s]*)?This (sf\.net|sourceforge) email is sponsored by[\s\S]*?(?=\n[>| ]*_{5,}|\n[>| ]*\n|$(?![\s\S]))/gim;
const address = /[\w.+%'=-]+@[\w-]+(\.[\w-]+)*/g;

/** A body without such marks; every e-mail address becomes `[address]`. */
export function withoutBodyMarks(body: string): string {
  const lines = body
    .replaceAll("\r", "")
    .replace(signedBlock, "")
    .replace(sponsorBlock, "")
    .replace(sourceForgeAdvert, "")
    .split("\n");
  const kept = lines.filter(
    (line, index) =>
      !headerLine.test(line) &&
      !filterReportLine.test(line) &&
      !listLine.test(line) &&
      !ruleLine.test(line) &&
      !(index < feedLinesMax && feedLine.test(line)),
  );
  return kept.join("\n").replace(filterMark, "").replace(address, "[address]");
}
