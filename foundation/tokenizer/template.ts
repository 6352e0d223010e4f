/**
 * The frame of special tokens around one text or two, as the `post_processor` of a tokenizer.json states it.
 */
import { z } from "zod";
import { BadInput } from "../bad-input.ts";

/** One piece of the frame: a token, or the place of the first (0) or second (1) text. */
export type TemplatePiece =
  | { readonly kind: "token"; readonly id: number; readonly typeId: number }
  | { readonly kind: "text"; readonly text: 0 | 1; readonly typeId: number };

/** Frames of one text and of two. */
export interface Template {
  readonly single: readonly TemplatePiece[];
  readonly pair: readonly TemplatePiece[];
}

const typeId = z.number().int().min(0).default(0);
const pieceSchema = z.union([
  z.object({ SpecialToken: z.object({ id: z.string(), type_id: typeId }) }),
  z.object({ Sequence: z.object({ id: z.enum(["A", "B"]), type_id: typeId }) }),
]);
const templateSchema = z.object({
  type: z.literal("TemplateProcessing"),
  single: z.array(pieceSchema),
  pair: z.array(pieceSchema),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(z.number().int().min(0)) })),
});
const tokenAndId = z.tuple([z.string(), z.number().int().min(0)]);
const bertSchema = z.object({
  type: z.literal("BertProcessing"),
  sep: tokenAndId,
  cls: tokenAndId,
});

/** Reads a post_processor. Throws BadInput for one of another kind than BERT's. */
export function parseTemplate(postProcessor: unknown, file: string): Template {
  const bert = bertSchema.safeParse(postProcessor);
  if (bert.success) return bertTemplate(bert.data.cls[1], bert.data.sep[1]);
  const parsed = templateSchema.safeParse(postProcessor);
  if (!parsed.success) {
    const type: unknown =
      typeof postProcessor === "object" && postProcessor !== null
        ? Reflect.get(postProcessor, "type")
        : postProcessor;
    throw new BadInput({
      file,
      column: "post_processor",
      expected: "TemplateProcessing or BertProcessing",
      found: JSON.stringify(type) ?? "none",
    });
  }
  const { single, pair, special_tokens: tokens } = parsed.data;
  const pieces = (list: typeof single) =>
    list.flatMap((piece): TemplatePiece[] => {
      if ("Sequence" in piece) {
        const { id, type_id: type } = piece.Sequence;
        return [{ kind: "text", text: id === "A" ? 0 : 1, typeId: type }];
      }
      const { id: name, type_id: type } = piece.SpecialToken;
      const token = Object.hasOwn(tokens, name) ? tokens[name] : undefined;
      if (token === undefined) {
        throw new BadInput({ file, column: "special_tokens", expected: name, found: "none" });
      }
      return token.ids.map((id) => ({ kind: "token", id, typeId: type }));
    });
  return { single: pieces(single), pair: pieces(pair) };
}

/** BERT's frame: `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`. */
function bertTemplate(cls: number, sep: number): Template {
  const first: TemplatePiece[] = [
    { kind: "token", id: cls, typeId: 0 },
    { kind: "text", text: 0, typeId: 0 },
    { kind: "token", id: sep, typeId: 0 },
  ];
  const second: TemplatePiece[] = [
    { kind: "text", text: 1, typeId: 1 },
    { kind: "token", id: sep, typeId: 1 },
  ];
  return { single: first, pair: [...first, ...second] };
}
