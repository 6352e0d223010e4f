/** A table of records in every form in which files of data come. */
import { brotliCompressSync, gzipSync } from "node:zlib";
import { parquetWriteBuffer, type ParquetWriteOptions } from "hyparquet-writer";

/** Rows of the table, as records come out. */
export const rows = Array.from({ length: 300 }, (_, index) => ({
  text: `text ${index % 7} of ${index}`,
  label: index % 2,
}));

const tsv = `text\tlabel\n${rows.map(({ text, label }) => `${text}\t${label}`).join("\n")}\n`;
const csv = `text,label\n${rows.map(({ text, label }) => `"${text}",${label}`).join("\r\n")}\r\n`;
const jsonl = rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** `tsv` as `zstd -19 --check` packs it: entropy-coded blocks, a checksum. */
const packedTsv = Buffer.from(
  "KLUv/WRdEa0QAGa0YReQJQVpMeDixn1Vz8y+ld3dO6WgegZRgG0AVABSAEY2Jha2acGurKqopqSiLivUkVER0ZBQ" +
    "0CQFurGpoZmRiXmcMCcmJSQjIiGLEuTCooJiQiLiMELcdk3PcvwePs2SHMUgaaCiwYXADCoERAYzIRAxiAjBG2gI" +
    "woAAAwyEgQEFCAQAQIGAgAIIEBBkIG+0sUYaZ5QxxkfHMJ5oYokkjihiiIuKQbzQwgopnFDCCA8NQ3hrW0s7Kxv7" +
    "umFPTUtJR0VDVzXoBS1YQQpOUIIRPGgwBO/s6ujm5OI+L9yZWQVxiO/t6+nn5eN/P/y5eTn5uHj4rge/sIUrTOEJ" +
    "SzjChw2H8J121knnnHLG+ekZzjPNLJPMMcUMc1MzmFdaWSWVU0oZ5aVlKI80skgihxQyyEkDAwzutrtuuueWO+5v" +
    "73CfbXbZZI8tdtjb2sG+2uqqqZ5a6qivrUN9tNFFEz200EFPSwf6ZptrpnlmmWN+dg7zySaXTPLIIoe8rBzkiy2u" +
    "mOKJJY742IE1qBFASLyNMZEnKegRMAQIQUJACPyCNkVbki5JW5QtaZo0ZVmypmhT1CXpnjEVU5gA0y95SZdyaUu0" +
    "dJaw5EqtLzbZwQY3zGEFO+xgAxvuYIMZ9rCwmlCLKVlKRimUeBJOukkyb/xqk7AeAAkVWCf2vwIkgGUxrBLzlU2A" +
    "zQCbAJsAmzVgxWRVA2gVFIVjhA==",
  "base64",
);

const storedBlockBytesMax = 65_536;

/** A zstd frame of blocks that are stored as they are (RFC 8878, 3.1.1), for what Node 20 cannot pack. */
function storedZstd(content: Uint8Array): Buffer {
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0]);
  head.writeUInt32LE(content.length, 5);
  const blocks: Uint8Array[] = [];
  for (let start = 0; start < content.length; start += storedBlockBytesMax) {
    const block = content.subarray(start, start + storedBlockBytesMax);
    const isLast = start + storedBlockBytesMax >= content.length;
    const blockHead = Buffer.alloc(3);
    blockHead.writeUIntLE((block.length << 3) | Number(isLast), 0, 3);
    blocks.push(blockHead, block);
  }
  return Buffer.concat([head, ...blocks]);
}

/** The table as text, packed in every way, by file name. */
export const packedTexts: Readonly<Record<string, Buffer>> = {
  "a.tsv": Buffer.from(tsv),
  "a.tsv.gz": gzipSync(tsv),
  "members.tsv.gz": Buffer.concat([gzipSync(tsv.slice(0, 1000)), gzipSync(tsv.slice(1000))]),
  "a.csv.gz": gzipSync(csv),
  "a.jsonl.gz": gzipSync(jsonl),
  "a.json.gz": gzipSync(JSON.stringify(rows)),
  "a.tsv.zst": packedTsv,
  "stored.tsv.zst": storedZstd(Buffer.from(tsv)),
  "frames.tsv.zst": Buffer.concat([
    storedZstd(Buffer.from(tsv.slice(0, 1000))),
    storedZstd(Buffer.from(tsv.slice(1000))),
  ]),
  "a.csv.zst": storedZstd(Buffer.from(csv)),
  "a.jsonl.zst": storedZstd(Buffer.from(jsonl)),
};

type Codec = NonNullable<ParquetWriteOptions["codec"]>;

/** Codecs that the writer or Node packs, or that allow content to be stored. */
export const parquetCodecs: readonly Codec[] = ["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "ZSTD"];

/** The table as Parquet in row groups of 70, with what Hugging Face's datasets writes beside it. */
export function parquetFile(codec: Codec, classNames?: readonly string[]): Buffer {
  const features = {
    text: { dtype: "string", _type: "Value" },
    label: { names: classNames, _type: "ClassLabel" },
  };
  const huggingFace = { key: "huggingface", value: JSON.stringify({ info: { features } }) };
  return Buffer.from(
    parquetWriteBuffer({
      columnData: [
        { name: "idx", data: rows.map((_, index) => index), type: "INT32" },
        { name: "text", data: rows.map(({ text }) => text), type: "STRING" },
        { name: "label", data: rows.map(({ label }) => BigInt(label)), type: "INT64" },
      ],
      rowGroupSize: 70,
      codec,
      compressors: { GZIP: gzipSync, BROTLI: brotliCompressSync, ZSTD: storedZstd },
      ...(classNames === undefined ? {} : { kvMetadata: [huggingFace] }),
    }),
  );
}
