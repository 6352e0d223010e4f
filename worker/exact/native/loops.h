#pragma once
#include <node_api.h>

namespace ringmaster {

// loopsOver(bytes): the hot loops over a memory, which the returned object keeps: its methods take what the exports of
// ../kernels.wasm and ../../hashing/xxh64.wasm take, byte offsets and counts. Null where this processor, or the compiler that was
// there, has none that would be faster.
napi_value LoopsOver(napi_env env, napi_callback_info info);

}  // namespace ringmaster
