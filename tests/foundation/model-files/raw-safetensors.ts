/** Safetensors files as tests need them: any header over any bytes, right or wrong. */
import { readFileSync, writeFileSync } from "node:fs";

/** A header as it stands in the file. */
export type RawHeader = Record<string, unknown>;

/** A tensor of a raw file. */
export interface RawTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Bytes of a file with this header and data. */
export function rawFile(header: RawHeader | string, data: Uint8Array): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** Bytes of a file with these tensors, one after the other. */
export function rawTensors(tensors: Readonly<Record<string, RawTensor>>): Uint8Array {
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
      const begin = end;
      end += bytes.length;
      return [name, { dtype, shape, data_offsets: [begin, end] }];
    }),
  );
  return rawFile(header, Buffer.concat(Object.values(tensors).map(({ bytes }) => bytes)));
}

/** The tensors of a right file. */
export function readRaw(file: string): Record<string, RawTensor> {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  delete header["__metadata__"];
  const data = bytes.subarray(8 + length);
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => [name, { dtype, shape, bytes: data.subarray(begin, end) }],
    ),
  );
}

/** Float32 values as a raw tensor. */
export function rawFloats(shape: readonly number[], values: readonly number[]): RawTensor {
  return { dtype: "F32", shape, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

/** Writes raw tensors to a file. */
export function writeRaw(file: string, tensors: Readonly<Record<string, RawTensor>>): void {
  writeFileSync(file, rawTensors(tensors));
}
