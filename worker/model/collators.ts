/** Collators by family. No tfjs here: they run in the input thread. */
import { familyOfConfig } from "../../foundation/families/family.ts";
import { parseJsonObject } from "../../foundation/model-files/json-object.ts";
import type { Collator } from "./collator.ts";

/** What a collator has to know of the job. */
export interface CollatorOptions {
  /** `config.json`, with the labels of the job. */
  readonly configJson: string;
  /** Tokenizer files by name. */
  readonly tokenizerFiles: ReadonlyMap<string, Uint8Array>;
  /** Whether sequences lie one behind the other, without padding; as in `ModelOptions`. Default false. */
  readonly packed?: boolean;
  /** Sequence lengths that are compiled, ascending. */
  readonly bucketLengths: readonly number[];
  /** Longest sequence in tokens; longer samples are cut. */
  readonly maxLength: number;
}

/** Makes the collator of a family. Throws BadInput for a config or tokenizer that is not supported. */
export async function createCollator(family: string, options: CollatorOptions): Promise<Collator> {
  const config = parseJsonObject(options.configJson, "config.json");
  const known = familyOfConfig(config);
  if (known.name !== family) {
    throw new RangeError(
      `Cannot make collator of family ${family}: its config is of family ${known.name}`,
    );
  }
  switch (family) {
    case "cifar-resnet":
    case "tiny-convnet":
    case "two-tower":
      return (await import("./collate-values.ts")).createValuesCollator(config);
    default:
      return (await import("./collate-text.ts")).createTextCollator(config, options);
  }
}
