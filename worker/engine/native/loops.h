// All loops, compiled once for each instruction set: whoever includes this has named the set by RM_SET, and the size of its registers.
namespace ringmaster {
namespace RM_SET {
#include "vector.h"
#include "random_bits.h"
#include "pairs.h"
#include "small_products.h"
#include "product_loops.h"
#include "narrow_product_loops.h"
#include "row_loops.h"
#include "attention_loops.h"
#include "mix_loops.h"
#include "filter_gradient_loops.h"
#include "winograd_loops.h"
#include "batch_norm_loops.h"
}  // namespace RM_SET
}  // namespace ringmaster
