/**
 * Convolution of images, [rows, height, width, channels], by filters, [height, width, in, out], padded as in PyTorch, with
 * its gradients written out. TensorFlow's filter gradient adds over images in parts that depend on the number of threads, so
 * a kernel of ours computes it; the input's gradient and the value are TensorFlow's own.
 */
import * as tf from "@tensorflow/tfjs";
import { int, kernelOf, type BlockContext } from "./blocks.ts";
import { at, differentiable } from "./differentiable.ts";

/** How filters move over an image. */
export interface ConvolutionForm {
  readonly stride: 1 | 2;
  /** Zeros around the image, on every side. */
  readonly padding: number;
}

/** TensorFlow's name of a padding, with what has to be added before: PyTorch's and TensorFlow's differ for stride 2. */
interface Padding {
  readonly name: "same" | "valid";
  /** Rows before and after the image, and columns alike. */
  readonly before: number;
  readonly after: number;
}

function paddingOf(imageSize: number, filterSize: number, form: ConvolutionForm): Padding {
  const { stride, padding } = form;
  if (stride === 1 && 2 * padding + 1 === filterSize) return { name: "same", before: 0, after: 0 };
  const outputs = Math.floor((imageSize + 2 * padding - filterSize) / stride) + 1;
  const read = (outputs - 1) * stride + filterSize;
  return { name: "valid", before: padding, after: Math.max(0, read - imageSize - padding) };
}

function padded(x: tf.Tensor4D, { before, after }: Padding): tf.Tensor4D {
  if (before === 0 && after === 0) return x;
  return tf.pad(x, [
    [0, 0],
    [before, after],
    [before, after],
    [0, 0],
  ]);
}

/** x convolved by filters. Images and filters are square. */
export function convolve(
  context: BlockContext,
  x: tf.Tensor4D,
  filters: tf.Tensor4D,
  form: ConvolutionForm,
): tf.Tensor4D {
  const padding = paddingOf(x.shape[1], filters.shape[0], form);
  return differentiable(
    [x, filters],
    () => ({
      value: tf.conv2d(padded(x, padding), filters, form.stride, padding.name),
      saved: [x, filters],
    }),
    (dy, saved) => {
      const [image, weights] = [at(saved, 0) as tf.Tensor4D, at(saved, 1) as tf.Tensor4D];
      const given = { dy: dy as tf.Tensor4D, form, padding };
      return [
        inputGradient(given, image.shape, weights),
        filterGradient(context, given, { x: image, filterShape: weights.shape }),
      ];
    },
  );
}

interface Backward {
  readonly dy: tf.Tensor4D;
  readonly form: ConvolutionForm;
  readonly padding: Padding;
}

type Shape4D = [number, number, number, number];

/**
 * The bits are those of the stride-1 convolution of dy by the flipped filters (measured: 14 shapes, AVX2 and AVX-512), and so
 * is the time; for stride 2 this form spares the dilation.
 */
function inputGradient(
  { dy, form, padding: { name, before, after } }: Backward,
  [rows, height, width, channels]: Shape4D,
  filters: tf.Tensor4D,
): tf.Tensor4D {
  const whole: Shape4D = [rows, height + before + after, width + before + after, channels];
  const gradient = tf.conv2dTranspose(dy, filters, whole, form.stride, name);
  if (before === 0 && after === 0) return gradient;
  return tf.slice4d(gradient, [0, before, before, 0], [rows, height, width, channels]);
}

function filterGradient(
  context: BlockContext,
  { dy, form, padding }: Backward,
  { x, filterShape }: { readonly x: tf.Tensor4D; readonly filterShape: Shape4D },
): tf.Tensor {
  const kernel = kernelOf("FilterGradient", {
    size: int(filterShape[0]),
    stride: int(form.stride),
    padding: int(form.padding),
  });
  const compose = (): tf.Tensor[] => {
    const attributes = {
      strides: [form.stride, form.stride],
      pad: padding.name,
      dataFormat: "NHWC",
      dimRoundingMode: "floor",
      filterShape,
    };
    const inputs = { x: padded(x, padding), dy };
    return [tf.engine().runKernel<tf.Tensor>("Conv2DBackpropFilter", inputs, attributes)];
  };
  return at(context.block(kernel, [x, dy], compose), 0);
}
