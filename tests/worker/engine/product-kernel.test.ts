/** Goal: our matrix product is the product, at sizes around its tiles, strips and panels, for operands either way round. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { loadBinding, type TensorFlowBinding } from "../../../worker/engine/binding.ts";
import { bindingUnderTest, someValues } from "../../support/engine-under-test.ts";

interface Form {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Matrices on either side. */
  readonly batch?: readonly [number, number];
}

const forms: readonly Form[] = [
  { rows: 1, columns: 1, depth: 1 },
  { rows: 5, columns: 3, depth: 2 },
  { rows: 8, columns: 2, depth: 192 },
  { rows: 6, columns: 64, depth: 256 },
  { rows: 7, columns: 65, depth: 257 },
  { rows: 97, columns: 70, depth: 31 },
  { rows: 200, columns: 300, depth: 520 },
  { rows: 51, columns: 130, depth: 1029 },
  { rows: 49, columns: 33, depth: 17, batch: [3, 3] },
  { rows: 5, columns: 9, depth: 4, batch: [1, 3] },
];

/** Element (i, j) of a matrix in memory as it is, or turned. */
function at(values: Float32Array, turned: boolean, [rows, columns]: readonly [number, number]) {
  return (matrix: number, i: number, j: number): number =>
    values[matrix * rows * columns + (turned ? j * rows + i : i * columns + j)] ?? Number.NaN;
}

/** The nearest bfloat16, ties to even. */
function roundedToBfloat16(value: number): number {
  const [bits = 0] = new Uint32Array(Float32Array.of(value).buffer);
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(Uint32Array.of(rounded).buffer)[0] ?? Number.NaN;
}

const kernels = [
  { op: "RingmasterProduct", taken: (value: number): number => value },
  { op: "RingmasterNarrowProduct", taken: roundedToBfloat16 },
] as const;

for (const { op, taken } of kernels)
  describe(op, () => {
    let binding: TensorFlowBinding;
    before(async () => {
      binding = loadBinding(await bindingUnderTest());
    });

    const multiply = (
      inputs: readonly (readonly [number[], Float32Array])[],
      turned: boolean[],
    ) => {
      const ids = inputs.map(([shape, values]) =>
        binding.createTensor(shape, binding.TF_FLOAT, values),
      );
      const attributes = ["adj_x", "adj_y"].map((name, index) => ({
        name,
        type: binding.TF_ATTR_BOOL,
        value: turned[index] === true,
      }));
      try {
        const [result] = binding.executeOp(op, attributes, ids, 1);
        assert.ok(result !== undefined);
        const values = binding.tensorDataSync(result.id);
        binding.deleteTensor(result.id);
        return { shape: result.shape, values };
      } finally {
        for (const id of ids) binding.deleteTensor(id);
      }
    };

    for (const { rows, columns, depth, batch = [1, 1] } of forms) {
      for (const [turnedA, turnedB] of [
        [false, false],
        [false, true],
        [true, false],
        [true, true],
      ] as const) {
        const how = `${turnedA ? "turned" : "plain"} by ${turnedB ? "turned" : "plain"}`;
        it(`${batch[0]} × ${rows} × ${depth} by ${batch[1]} × ${depth} × ${columns}, ${how}`, () => {
          const a = someValues(batch[0] * rows * depth, 1);
          const b = someValues(batch[1] * depth * columns, 2);
          const shapeOf = (count: number, size: readonly [number, number], turned: boolean) => [
            count,
            ...(turned ? [size[1], size[0]] : size),
          ];
          const found = multiply(
            [
              [shapeOf(batch[0], [rows, depth], turnedA), a],
              [shapeOf(batch[1], [depth, columns], turnedB), b],
            ],
            [turnedA, turnedB],
          );
          const count = Math.max(...batch);
          assert.deepEqual(found.shape, [count, rows, columns]);
          const left = at(a.map(taken), turnedA, [rows, depth]);
          const right = at(b.map(taken), turnedB, [depth, columns]);
          for (let matrix = 0; matrix < count; matrix++) {
            for (let i = 0; i < rows; i++) {
              for (let j = 0; j < columns; j++) {
                let sum = 0;
                let size = 0;
                for (let k = 0; k < depth; k++) {
                  const product =
                    left(batch[0] === 1 ? 0 : matrix, i, k) *
                    right(batch[1] === 1 ? 0 : matrix, k, j);
                  sum += product;
                  size += Math.abs(product);
                }
                const value = Number(found.values[(matrix * rows + i) * columns + j]);
                // A sum of float32 products errs by at most depth · 2⁻²⁴ of the sum of magnitudes.
                const bound = size * (depth + 1) * 2 ** -24;
                assert.ok(Math.abs(value - sum) <= bound, `${i}, ${j}: ${value} instead of ${sum}`);
              }
            }
          }
        });
      }
    }

    it("refuses matrices that do not fit", () => {
      const values = someValues(12, 1);
      assert.throws(
        () =>
          multiply(
            [
              [[3, 4], values],
              [[3, 4], values],
            ],
            [false, false],
          ),
        /one depth/,
      );
    });
  });

describe("RingmasterNarrowProduct", () => {
  it("rounds operands to the nearest bfloat16 and lets what is not finite through", async () => {
    const binding = loadBinding(await bindingUnderTest());
    const { NaN: none, POSITIVE_INFINITY: infinite } = Number;
    // Ties go to the even neighbour; the largest float32 is nearer to infinity than to any bfloat16.
    const values = [
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
      -1 - 2 ** -8 - 2 ** -20,
      3.4028234e38,
      none,
      -infinite,
    ];
    const expected = [1, 1 + 2 ** -6, -1 - 2 ** -7, infinite, none, -infinite];
    const attributes = ["adj_x", "adj_y"].map((name) => ({
      name,
      type: binding.TF_ATTR_BOOL,
      value: false,
    }));
    const operands = [
      binding.createTensor([values.length, 1], binding.TF_FLOAT, Float32Array.from(values)),
      binding.createTensor([1, 1], binding.TF_FLOAT, Float32Array.of(1)),
    ];
    const [result] = binding.executeOp("RingmasterNarrowProduct", attributes, operands, 1);
    assert.ok(result !== undefined);
    assert.deepEqual([...binding.tensorDataSync(result.id)], expected);
    for (const id of [...operands, result.id]) binding.deleteTensor(id);
  });
});
