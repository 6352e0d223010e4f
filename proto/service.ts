/**
 * The services of the protocol as grpc-js understands them, made from the generated descriptors: the keys are the
 * methods' local names (`readState`), the values know path, streaming and codec. Payload bytes are views of the received
 * buffer, never copies.
 */
import { fromBinary, isMessage, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import type { ChannelOptions, MethodDefinition } from "@grpc/grpc-js";
import {
  CoordinatorService,
  ReadStateResponseSchema,
  WriteStateRequestSchema,
} from "./gen/ringmaster/v1/run_pb.ts";
import { keepaliveMs, keepaliveTimeoutMs, messageBytesMax, receiveWindowBytes } from "./limits.ts";
import { writeReadStateResponse, writeWriteStateRequest } from "./state-message.ts";

/** A method as the generated descriptors type it. */
interface TypedMethod {
  readonly input: DescMessage;
  readonly output: DescMessage;
}

/** A service definition whose requests and responses are the generated messages. */
export type DefinitionOf<Methods extends Record<string, TypedMethod>> = {
  readonly [Name in keyof Methods]: MethodDefinition<
    MessageShape<Methods[Name]["input"]>,
    MessageShape<Methods[Name]["output"]>
  >;
};

/** A message's bytes: the descriptors' own writer would copy pieces of a state several times. */
function bytesOf<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array {
  if (isMessage(message, ReadStateResponseSchema)) return writeReadStateResponse(message);
  const isUpload = isMessage(message, WriteStateRequestSchema);
  // What is lent has no bytes to copy.
  if (isUpload && message.chunk?.lent === undefined) return writeWriteStateRequest(message);
  return toBinary(schema, message);
}

function serializer<Desc extends DescMessage>(schema: Desc) {
  return (message: MessageShape<Desc>): Buffer => {
    const bytes = bytesOf(schema, message);
    if (bytes.byteLength > messageBytesMax) {
      throw new RangeError(
        `Cannot send ${schema.typeName}: it takes ${bytes.byteLength} bytes, the limit is ${messageBytesMax}`,
      );
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function deserializer<Desc extends DescMessage>(schema: Desc) {
  return (bytes: Buffer): MessageShape<Desc> => fromBinary(schema, bytes);
}

function defineMethod(
  serviceName: string,
  method: DescMethod,
): MethodDefinition<MessageShape<DescMessage>, MessageShape<DescMessage>> {
  const { methodKind } = method;
  return {
    path: `/${serviceName}/${method.name}`,
    originalName: method.localName,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: serializer(method.input),
    requestDeserialize: deserializer(method.input),
    responseSerialize: serializer(method.output),
    responseDeserialize: deserializer(method.output),
  };
}

/** A generated service as grpc-js takes it. The ring's own is spoken without grpc-js (`worker/ring/ring-http2.ts`). */
export function defineService<Methods extends Record<string, TypedMethod & DescMethod>>(service: {
  readonly typeName: string;
  readonly method: Methods;
}): DefinitionOf<Methods> {
  const entries = Object.entries(service.method).map(([name, method]) => [
    name,
    defineMethod(service.typeName, method),
  ]);
  // The descriptors type every method; building an object from entries forgets that.
  return Object.fromEntries(entries) as DefinitionOf<Methods>;
}

/** Served by the coordinator: `server.addService(coordinatorServiceDefinition, handlers)`. */
export const coordinatorServiceDefinition = defineService(CoordinatorService);

/** Options for every server: message limits, and pings from clients are welcome. */
export const serverOptions: ChannelOptions = {
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
  "grpc.keepalive_time_ms": keepaliveMs,
  "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc-node.flow_control_window": receiveWindowBytes,
};

/** Options for every client: message limits, pings, and the wide window that pulling needs. */
export const clientOptions: ChannelOptions = {
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
  "grpc.keepalive_time_ms": keepaliveMs,
  "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc-node.flow_control_window": receiveWindowBytes,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_retries": 0,
};
