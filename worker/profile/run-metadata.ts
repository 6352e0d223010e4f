/**
 * Reads what TensorFlow notes of the ops of a traced run: the parts that profiles need of RunMetadata, a protobuf message.
 * Field numbers: tensorflow/core/protobuf/config.proto, framework/step_stats.proto, tensor_description.proto,
 * tensor_shape.proto and allocation_description.proto.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** One op that was run. */
export interface OpRun {
  /** Name of its node. */
  readonly node: string;
  readonly op: string;
  /** Names of the nodes that it takes values from, in order. */
  readonly inputs: readonly string[];
  /** Unix time in nanoseconds at which its kernel began, and how long that took. */
  readonly startNs: bigint;
  readonly tookNs: number;
  /** Its outputs by number; what it did not make is missing. */
  readonly outputs: readonly OpOutput[];
}

/** One output of an op. */
export interface OpOutput {
  readonly output: number;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Reads the fields of a message that have a reader; passes over the others. */
function readFields(
  bytes: Uint8Array,
  readers: Readonly<Record<number, (reader: BinaryReader) => void>>,
): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const read = readers[field];
    if (read === undefined) reader.skip(wireType);
    else read(reader);
  }
}

function readShape(bytes: Uint8Array): number[] {
  const shape: number[] = [];
  readFields(bytes, {
    2: (dimension) => {
      let size = 0;
      readFields(dimension.bytes(), {
        1: (reader) => {
          size = Number(reader.int64());
        },
      });
      shape.push(size);
    },
  });
  return shape;
}

function readOutput(bytes: Uint8Array): OpOutput {
  const output = { output: 0, shape: [] as number[], bytes: 0 };
  readFields(bytes, {
    1: (reader) => {
      output.output = reader.int32();
    },
    3: (description) =>
      readFields(description.bytes(), {
        2: (reader) => {
          output.shape = readShape(reader.bytes());
        },
        4: (allocation) =>
          readFields(allocation.bytes(), {
            1: (reader) => {
              output.bytes = Number(reader.int64());
            },
          }),
      }),
  });
  return output;
}

/** Reads `node = Op(input, input:1)`, as the executor labels ops. */
function readLabel(label: string): Pick<OpRun, "op" | "inputs"> {
  const match = /= (?<op>[^(\s]+)\((?<inputs>[^)]*)\)/u.exec(label);
  const inputs = (match?.groups?.["inputs"] ?? "").split(", ").filter((input) => input !== "");
  return { op: match?.groups?.["op"] ?? label, inputs };
}

function readOp(bytes: Uint8Array): OpRun {
  let [node, label] = ["", ""];
  let [startNs, fromNs, untilNs] = [0n, 0n, 0n];
  const outputs: OpOutput[] = [];
  readFields(bytes, {
    1: (reader) => {
      node = reader.string();
    },
    7: (reader) => void outputs.push(readOutput(reader.bytes())),
    8: (reader) => {
      label = reader.string();
    },
    13: (reader) => {
      startNs = BigInt(reader.int64());
    },
    14: (reader) => {
      fromNs = BigInt(reader.int64());
    },
    15: (reader) => {
      untilNs = BigInt(reader.int64());
    },
  });
  const tookNs = Math.max(0, Number(untilNs - fromNs));
  return { node, ...readLabel(label), startNs: startNs + fromNs, tookNs, outputs };
}

/** The ops of a run, in the order in which their kernels began. @param metadata a serialised RunMetadata, or nothing */
export function readRunMetadata(metadata: Uint8Array): readonly OpRun[] {
  const ops: OpRun[] = [];
  readFields(metadata, {
    1: (stepStats) =>
      readFields(stepStats.bytes(), {
        1: (device) => readFields(device.bytes(), { 2: (op) => void ops.push(readOp(op.bytes())) }),
      }),
  });
  return ops.sort((left, right) => Number(left.startNs - right.startNs));
}
