/** What a data set's name on the command line stands for. */
import { BadInput } from "../bad-input.ts";

/** A data set and one of its configurations. */
export interface DatasetName {
  /** `owner/name`. */
  readonly id: string;
  /** null: the only or default one. */
  readonly config: string | null;
}

/** Names without an owner, which the hub refuses now, and where they went. */
const ownerOfBareName: ReadonlyMap<string, string> = new Map([
  ["ag_news", "fancyzhx"],
  ["banking77", "PolyAI"],
  ["dbpedia_14", "fancyzhx"],
  ["emotion", "dair-ai"],
  ["glue", "nyu-mll"],
  ["go_emotions", "google-research-datasets"],
  ["imdb", "stanfordnlp"],
  ["multi_nli", "nyu-mll"],
  ["paws", "google-research-datasets"],
  ["rotten_tomatoes", "cornell-movie-review-data"],
  ["snli", "stanfordnlp"],
  ["sst2", "stanfordnlp"],
  ["super_glue", "aps"],
  ["tweet_eval", "cardiffnlp"],
  ["xnli", "facebook"],
  ["yelp_polarity", "fancyzhx"],
  ["yelp_review_full", "Yelp"],
]);

const partPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * `owner/name`, `owner/name:config`, `owner/name/config`, or a known bare `name`, `name/config`, `name:config`
 * (`glue/mrpc` is `nyu-mll/glue`, config `mrpc`). Throws BadInput for anything else.
 */
export function parseDatasetName(text: string): DatasetName {
  const parts = text.replace(":", "/").split("/");
  const [first = "", second, third] = parts;
  const isWhole = parts.length <= 3 && parts.every((part) => partPattern.test(part));
  const owner = ownerOfBareName.get(first);
  if (isWhole && owner !== undefined && third === undefined) {
    return { id: `${owner}/${first}`, config: second ?? null };
  }
  const isConfigOnly = text.indexOf(":") !== -1 && text.indexOf("/") === -1;
  if (isWhole && second !== undefined && !isConfigOnly) {
    return { id: `${first}/${second}`, config: third ?? null };
  }
  throw new BadInput({
    flag: "--dataset",
    expected: "owner/name or owner/name:config as on the hub (glue/mrpc, …), or --train-file FILE",
    found: text,
  });
}
