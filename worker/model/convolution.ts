/**
 * Convolution of images, [rows, height, width, channels], by filters, [height, width, in, out], padded as in PyTorch, with
 * its gradients written out. TensorFlow's filter gradient adds over images in parts that depend on the number of threads, so
 * kernels of ours compute it; the value and the input's gradient are TensorFlow's own or ours, as the shape has it.
 */
import * as tf from "@tensorflow/tfjs";
import { convolutionForm, type ConvolutionForm } from "../../foundation/convolution-table.ts";
import { int, kernelOf, type BlockContext } from "./blocks.ts";
import { at, differentiable } from "./differentiable.ts";
import type { ModelOptions } from "./model.ts";

/** How filters move over an image. */
export interface Movement {
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

type Shape4D = [number, number, number, number];

/** One convolution while it is computed. */
interface Convolution extends Movement {
  readonly form: ConvolutionForm;
  readonly padded: Padding;
  readonly imageShape: Shape4D;
  readonly filterShape: Shape4D;
}

function paddingOf(imageSize: number, filterSize: number, { stride, padding }: Movement): Padding {
  if (stride === 1 && 2 * padding + 1 === filterSize) return { name: "same", before: 0, after: 0 };
  const outputs = Math.floor((imageSize + 2 * padding - filterSize) / stride) + 1;
  const read = (outputs - 1) * stride + filterSize;
  return { name: "valid", before: padding, after: Math.max(0, read - imageSize - padding) };
}

/** x convolved by filters. Images and filters are square. @param movement with the table that the job's kernels are chosen by */
export function convolve(
  context: BlockContext,
  x: tf.Tensor4D,
  filters: tf.Tensor4D,
  { convolutionTable, ...movement }: Movement & Pick<ModelOptions, "convolutionTable">,
): tf.Tensor4D {
  const [filterSize, , inputs, outputs] = filters.shape;
  const imageSize = x.shape[1];
  const convolution: Convolution = {
    ...movement,
    form: convolutionForm(convolutionTable, {
      ...movement,
      imageSize,
      filterSize,
      inputs,
      outputs,
    }),
    padded: paddingOf(imageSize, filterSize, movement),
    imageShape: x.shape,
    filterShape: filters.shape,
  };
  return differentiable(
    [x, filters],
    () => ({ value: valueOf(context, convolution, x, filters), saved: [x, filters] }),
    (dy, saved) => [
      inputGradient(context, convolution, dy as tf.Tensor4D, at(saved, 1) as tf.Tensor4D),
      filterGradient(context, convolution, dy, at(saved, 0) as tf.Tensor4D),
    ],
  );
}

function valueOf(
  context: BlockContext,
  { form, stride, padded }: Convolution,
  x: tf.Tensor4D,
  filters: tf.Tensor4D,
): tf.Tensor4D {
  const compose = (): tf.Tensor4D => tf.conv2d(pad(x, padded), filters, stride, padded.name);
  if (form === "direct") return compose();
  const kernel = kernelOf("Convolution", { turned: int(0) });
  return at(
    context.block(kernel, [x, filters], () => [compose()]),
    0,
  ) as tf.Tensor4D;
}

function pad(x: tf.Tensor4D, { before, after }: Padding): tf.Tensor4D {
  if (before === 0 && after === 0) return x;
  const sides: [number, number] = [before, after];
  return tf.pad(x, [[0, 0], sides, sides, [0, 0]]);
}

/**
 * TensorFlow's op has the bits of the stride-1 convolution of dy by filters that are turned by half (measured: 14 shapes, AVX2
 * and AVX-512) and takes as long; for stride 2 it spares the dilation.
 */
function inputGradient(
  context: BlockContext,
  { form, stride, padded, imageShape }: Convolution,
  dy: tf.Tensor4D,
  filters: tf.Tensor4D,
): tf.Tensor4D {
  const { name, before, after } = padded;
  const [rows, height, width, channels] = imageShape;
  const compose = (): tf.Tensor4D => {
    const whole: Shape4D = [rows, height + before + after, width + before + after, channels];
    const gradient = tf.conv2dTranspose(dy, filters, whole, stride, name);
    if (before === 0 && after === 0) return gradient;
    return tf.slice4d(gradient, [0, before, before, 0], imageShape);
  };
  if (form === "direct") return compose();
  const kernel = kernelOf("Convolution", { turned: int(1) });
  return at(
    context.block(kernel, [dy, filters], () => [compose()]),
    0,
  ) as tf.Tensor4D;
}

function filterGradient(
  context: BlockContext,
  { form, stride, padding, padded, filterShape }: Convolution,
  dy: tf.Tensor,
  x: tf.Tensor4D,
): tf.Tensor {
  const direct = { size: int(filterShape[0]), stride: int(stride), padding: int(padding) };
  const kernel =
    form === "direct" ? kernelOf("FilterGradient", direct) : kernelOf("WinogradGradient");
  const compose = (): tf.Tensor[] => {
    const attributes = {
      strides: [stride, stride],
      pad: padded.name,
      dataFormat: "NHWC",
      dimRoundingMode: "floor",
      filterShape,
    };
    const inputs = { x: pad(x, padded), dy };
    return [tf.engine().runKernel<tf.Tensor>("Conv2DBackpropFilter", inputs, attributes)];
  };
  return at(context.block(kernel, [x, dy], compose), 0);
}
