#pragma once
#include <node_api.h>

namespace ringmaster {

// openCarrier(in, out, inStream, outStream, generation, connectionWindow, streamWindow, grantBytes): takes over two sockets for streams
// on which nothing is on its way; the descriptors stay the caller's. Null where this system or processor has no carriers.
napi_value OpenCarrier(napi_env env, napi_callback_info info);

// carry(carrier, memory, collective, half, sum, begun, expected, told, done): runs a collective (`carry_plan.h`) on a thread of its own, which
// uses the memory until done(failure, side, hops, sent, received) is called; failure is null where all went well, and empty where it was
// stopped.
napi_value Carry(napi_env env, napi_callback_info info);

// stopCarrier(carrier): has the collective under way end soon; the carrier is of no further use.
napi_value StopCarrier(napi_env env, napi_callback_info info);

// closeCarrier(carrier): lets go of its sockets, now or when the collective under way has stopped. Safe to call twice.
napi_value CloseCarrier(napi_env env, napi_callback_info info);

}  // namespace ringmaster
