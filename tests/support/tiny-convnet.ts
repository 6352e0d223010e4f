/** The configuration of a convolutional net that computes in microseconds: 4 × 4 pixels of 2 channels, three classes. */
export const tinyConvnet = {
  model_type: "tiny-convnet",
  image_size: 4,
  channels: 2,
  filters: 3,
  num_labels: 3,
} as const;
