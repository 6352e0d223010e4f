/** The words of an HTML page, without its markup. */
import { Parser } from "htmlparser2";

const silentTags = new Set(["script", "style", "title", "select", "noscript"]);
const inlineTags = new Set(["a", "b", "big", "em", "font", "i", "small", "span", "strong", "u"]);

/** Text as a reader sees it, entities decoded, tags that break a line as line feeds. Broken markup is tolerated. */
export function htmlText(html: string): string {
  const pieces: string[] = [];
  let silentDepth = 0;
  const parser = new Parser({
    onopentagname(name) {
      if (silentTags.has(name)) silentDepth += 1;
      if (!inlineTags.has(name)) pieces.push("\n");
    },
    ontext(text) {
      if (silentDepth === 0) pieces.push(text);
    },
    onclosetag(name) {
      if (silentTags.has(name)) silentDepth -= 1;
      if (!inlineTags.has(name)) pieces.push("\n");
    },
  });
  parser.end(html);
  return pieces.join("");
}

/** Whether a text that calls itself plain is a page after all. */
export function looksLikeHtml(text: string): boolean {
  return /<(html|body|table|font|center|br|p|div)\b[^>]*>/i.test(text);
}
