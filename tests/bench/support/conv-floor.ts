/** The floor of a training step of a ResNet for small images: its convolutions as products of patches and filters, taken directly. */
import {
  layersOf,
  parseCifarResnetConfig,
  type NormedConvolution,
} from "../../../foundation/families/cifar-resnet.ts";
import { productFlops, type Product } from "./floor.ts";

/** What is trained. */
export interface ConvForm {
  readonly rows: number;
  readonly imageSize: number;
  readonly hiddenSizes: readonly number[];
}

/** The model's config. */
export function convConfig({ imageSize, hiddenSizes }: Omit<ConvForm, "rows">) {
  return {
    model_type: "cifar-resnet",
    image_size: imageSize,
    hidden_sizes: hiddenSizes,
    depths: hiddenSizes.map(() => 2),
    num_labels: 10,
  };
}

/** The products of a forward pass, the first layer's first. */
export function convProducts(form: ConvForm): readonly Product[] {
  const { stem, blocks } = layersOf(parseCifarResnetConfig(convConfig(form)));
  const products: Product[] = [];
  let side = form.imageSize;
  const add = ({ filters, size, inputs, outputs }: NormedConvolution): void => {
    const m = form.rows * side * side;
    const k = inputs * size * size;
    products.push({ name: filters, m, k, n: outputs, transposeA: false, transposeB: false });
  };
  add(stem);
  for (const { first, second, shortcut } of blocks) {
    side /= first.stride;
    for (const convolution of [first, second, ...(shortcut === null ? [] : [shortcut])])
      add(convolution);
  }
  return products;
}

/** Operations of a step: forward, and both gradients but for the images' own. Winograd's transforms need fewer. */
export function convStepFlops(form: ConvForm): number {
  const flops = convProducts(form).map(productFlops);
  return 3 * flops.reduce((sum, one) => sum + one, 0) - (flops[0] ?? 0);
}
