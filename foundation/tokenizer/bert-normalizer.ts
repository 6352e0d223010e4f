/**
 * Text as BERT's tokenizer sees it: cleaned, Chinese characters apart, without accents, in lower case. In the order and
 * by the code points of Hugging Face's tokenizers library (`BertNormalizer`), from which its JavaScript edition differs:
 * that one takes UTF-16 halves for characters (Chinese beyond the first plane) and writes Greek's final sigma by its
 * place in the word.
 */
import { z } from "zod";

const schema = z.object({
  type: z.literal("BertNormalizer"),
  clean_text: z.boolean().default(true),
  handle_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullish(),
  lowercase: z.boolean().default(true),
});

/** CJK ideographs, the blocks of the original BERT. */
const ideographs =
  /[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]/gu;
const controls = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\uFFFD]/gu;

/** The normaliser that a tokenizer.json describes, or null when it is of another kind. */
export function bertNormalizer(definition: unknown): ((text: string) => string) | null {
  const parsed = schema.safeParse(definition);
  if (!parsed.success) return null;
  const { clean_text: clean, handle_chinese_chars: apart, lowercase, ...rest } = parsed.data;
  const stripAccents = rest.strip_accents ?? lowercase;
  return (text) => {
    let result = text;
    if (clean) result = result.replaceAll(controls, "").replaceAll(/\s/gu, " ");
    if (apart) result = result.replaceAll(ideographs, " $& ");
    if (stripAccents) result = result.normalize("NFD").replaceAll(/\p{Mn}/gu, "");
    return lowercase ? result.replaceAll("Σ", "σ").toLowerCase() : result;
  };
}
