// Kernels of our own, as TensorFlow ops in the binding's addon. Each takes the place of a block of composed ops on CPUs
// (worker/engine/passes/fuse-blocks.ts); one source, because TensorFlow's headers take longest to compile.
#include "instruction_sets.h"
#include "adamw.h"
#include "attention.h"
#include "attention_gradient.h"
#include "batch_norm.h"
#include "dropout.h"
#include "filter_gradient.h"
#include "gelu.h"
#include "layer_norm.h"
#include "winograd.h"
