/** Model families by name, as far as they compute: this is where a name of the protocol becomes a tfjs model. */
import { familyOfConfig } from "../../foundation/families/family.ts";
import { parseJsonObject } from "../../foundation/model-files/json-object.ts";
import { BadInput } from "../../foundation/bad-input.ts";
import type { Model, ModelOptions } from "./model.ts";

/** Makes the model of a family; loads tfjs. Throws BadInput for a config or an option that it does not support. */
export async function createModel(family: string, options: ModelOptions): Promise<Model> {
  const config = parseJsonObject(options.configJson, "config.json");
  const known = familyOfConfig(config);
  if (known.name !== family) {
    throw new RangeError(
      `Cannot make model of family ${family}: its config is of family ${known.name}`,
    );
  }
  const limits = known.textLimits(config);
  if (limits !== null && options.maxLength > limits.maxPositions) {
    throw new BadInput({
      flag: "--max-length",
      expected: `at most ${limits.maxPositions}, the rows of the model's position table`,
      found: String(options.maxLength),
    });
  }
  if (options.labelSmoothing !== 0 && known.problemType(config) !== "single_label_classification") {
    throw new BadInput({
      flag: "--label-smoothing-factor",
      expected: "0 for anything but single-label classification",
      found: String(options.labelSmoothing),
    });
  }
  switch (family) {
    case "cifar-resnet":
      return (await import("./cifar-resnet.ts")).createCifarResnet(options);
    case "tiny-convnet":
      return (await import("./tiny-convnet.ts")).createTinyConvnet(options);
    case "two-tower":
      return (await import("./two-tower.ts")).createTwoTower(options);
    default:
      return (await import("./bert.ts")).createBert(config, options);
  }
}
