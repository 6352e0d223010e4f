/**
 * Messages with a piece of a state, written with one copy of it. The generated descriptor's writer copies it once for each
 * message around it and keeps the copies until V8 collects them: a start's weights cost the coordinator more than reading them
 * from disk. The bytes are the same.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type {
  ReadStateResponse,
  StateChunk,
  WriteStateRequest,
} from "./gen/ringmaster/v1/run_pb.ts";

/** Numbers of the fields in `run.proto`. */
const chunkNumbers = { section: 1, offset: 2, data: 3, sectionBytes: 4, step: 5 } as const;
const readStateNumbers = { chunk: 1 } as const;
const writeStateNumbers = { checkpoint: 1, chunk: 2 } as const;

type Pieces = readonly Uint8Array[];

/** A ReadStateResponse as bytes. */
export function writeReadStateResponse({ chunk }: ReadStateResponse): Buffer {
  return Buffer.concat(piecesOf(new BinaryWriter(), readStateNumbers.chunk, chunk));
}

/** A WriteStateRequest as bytes. */
export function writeWriteStateRequest({ checkpoint, chunk }: WriteStateRequest): Buffer {
  const head = new BinaryWriter();
  writeInteger(head, writeStateNumbers.checkpoint, checkpoint);
  return Buffer.concat(piecesOf(head, writeStateNumbers.chunk, chunk));
}

/** What `head` holds, and a piece of a state as field `number` behind it. */
function piecesOf(head: BinaryWriter, number: number, chunk: StateChunk | undefined): Pieces {
  if (chunk === undefined) return [head.finish()];
  const pieces = chunkPieces(chunk);
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  head.tag(number, WireType.LengthDelimited).uint32(bytes);
  return [head.finish(), ...pieces];
}

function chunkPieces({ section, offset, data, sectionBytes, step }: StateChunk): Pieces {
  const head = new BinaryWriter();
  if (Number(section) !== 0) head.tag(chunkNumbers.section, WireType.Varint).int32(section);
  writeInteger(head, chunkNumbers.offset, offset);
  if (data.byteLength > 0)
    head.tag(chunkNumbers.data, WireType.LengthDelimited).uint32(data.byteLength);
  const tail = new BinaryWriter();
  writeInteger(tail, chunkNumbers.sectionBytes, sectionBytes);
  writeInteger(tail, chunkNumbers.step, step);
  return [head.finish(), data, tail.finish()];
}

function writeInteger(writer: BinaryWriter, number: number, value: bigint): void {
  if (value !== 0n) writer.tag(number, WireType.Varint).uint64(value);
}
