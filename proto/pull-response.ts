/**
 * PullResponse on the wire, written and read without copying its payload: what a ring moves is its payload. The bytes are
 * those of the generated descriptor's own writer, and any order of fields is read.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { PullResponse } from "./gen/ringmaster/v1/ring_pb.ts";

/** The fields of a PullResponse. */
export type PullMessage = Omit<PullResponse, "$typeName" | "$unknown">;

/** Numbers of the fields in `ring.proto`. */
const numbers = {
  generation: 1,
  collective: 2,
  hop: 3,
  offset: 4,
  data: 5,
  sharedBytes: 6,
  offerSharedMemory: 7,
  laneBytes: 8,
  lane: 9,
  offerLanes: 10,
} as const;

/** Lanes that one message may offer. */
const lanesMax = 64;

/** A message without a payload, every field at its default. */
export const emptyPullMessage: PullMessage = {
  generation: 0n,
  collective: 0n,
  hop: 0,
  offset: 0n,
  data: new Uint8Array(0),
  sharedBytes: 0,
  offerSharedMemory: false,
  laneBytes: 0,
  lane: 0,
  offerLanes: [],
};

/** The pieces that make up a message's bytes, one after the other: what precedes the payload, the payload itself, the rest. */
export interface PullMessageBytes {
  readonly head: Uint8Array;
  /** `message.data`, not copied. */
  readonly payload: Uint8Array;
  readonly tail: Uint8Array;
}

/** A message as bytes. */
export function writePullMessage(message: PullMessage): PullMessageBytes {
  const head = new BinaryWriter();
  for (const name of ["generation", "collective", "hop", "offset"] as const) {
    const value = message[name];
    if (value === 0 || value === 0n) continue;
    head.tag(numbers[name], WireType.Varint).uint64(value);
  }
  const payload = message.data;
  if (payload.byteLength > 0)
    head.tag(numbers.data, WireType.LengthDelimited).uint32(payload.byteLength);
  const tail = new BinaryWriter();
  if (message.sharedBytes !== 0)
    tail.tag(numbers.sharedBytes, WireType.Varint).uint32(message.sharedBytes);
  if (message.offerSharedMemory) tail.tag(numbers.offerSharedMemory, WireType.Varint).bool(true);
  for (const name of ["laneBytes", "lane"] as const) {
    if (message[name] !== 0) tail.tag(numbers[name], WireType.Varint).uint32(message[name]);
  }
  for (const address of message.offerLanes)
    tail.tag(numbers.offerLanes, WireType.LengthDelimited).string(address);
  return { head: head.finish(), payload, tail: tail.finish() };
}

type Writable<Fields> = { -readonly [name in keyof Fields]: Fields[name] };

/** The next field's number, once its wire type is known to be right. */
function nextField(reader: BinaryReader): readonly [field: number, wireType: WireType] {
  const [field, wireType] = reader.tag();
  const isLong = field === numbers.data || field === numbers.offerLanes;
  const wanted = isLong ? WireType.LengthDelimited : WireType.Varint;
  if (field <= numbers.offerLanes && wireType !== wanted) {
    throw new TypeError(`Cannot read PullResponse as field ${field} has wire type ${wireType}`);
  }
  return [field, wireType];
}

/** Reads any field but the payload. */
function readField(
  reader: BinaryReader,
  [field, wireType]: readonly [number, WireType],
  message: Writable<PullMessage>,
): void {
  switch (field) {
    case numbers.generation:
      message.generation = BigInt(reader.uint64());
      break;
    case numbers.collective:
      message.collective = BigInt(reader.uint64());
      break;
    case numbers.hop:
      message.hop = reader.uint32();
      break;
    case numbers.offset:
      message.offset = BigInt(reader.uint64());
      break;
    case numbers.sharedBytes:
      message.sharedBytes = reader.uint32();
      break;
    case numbers.offerSharedMemory:
      message.offerSharedMemory = reader.bool();
      break;
    case numbers.laneBytes:
      message.laneBytes = reader.uint32();
      break;
    case numbers.lane:
      message.lane = reader.uint32();
      break;
    case numbers.offerLanes:
      if (message.offerLanes.length >= lanesMax)
        throw new RangeError(`Cannot read PullResponse of more than ${lanesMax} lanes`);
      message.offerLanes = [...message.offerLanes, reader.string()];
      break;
    default:
      reader.skip(wireType, field);
  }
}

/** A message from its bytes; its payload is a view of them. Throws for bytes that are no PullResponse. */
export function readPullMessage(bytes: Uint8Array): PullMessage {
  const reader = new BinaryReader(bytes);
  const message = { ...emptyPullMessage };
  while (reader.pos < reader.len) {
    const tag = nextField(reader);
    if (tag[0] === numbers.data) message.data = reader.bytes();
    else readField(reader, tag, message);
  }
  return message;
}

/** What a message's first bytes show. */
export interface PullMessageHead {
  /** The fields before the payload. */
  readonly message: Omit<PullMessage, "data">;
  /** Where the payload begins, seen from the message's first byte. */
  readonly payloadAt: number;
  readonly payloadBytes: number;
}

/** What the first bytes of a message show of it; null where they show no payload. */
export function readPullHead(first: Uint8Array): PullMessageHead | null {
  const reader = new BinaryReader(first);
  const message = { ...emptyPullMessage };
  try {
    while (reader.pos < reader.len) {
      const tag = nextField(reader);
      if (tag[0] === numbers.data) {
        const payloadBytes = reader.uint32();
        return { message, payloadAt: reader.pos, payloadBytes };
      }
      readField(reader, tag, message);
    }
  } catch {
    // A field that is cut off, or no message: whoever reads it whole will tell.
  }
  return null;
}
