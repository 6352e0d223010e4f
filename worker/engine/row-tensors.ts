/** Which tensors' gradients are given by rows, and what programs are fed and give for them. Pure. */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { RowPart } from "../exact/block-layout.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { InputSpec, Model } from "../model/model.ts";
import {
  placesInput,
  rowInputs,
  rowsInput,
  touchedRows,
  type LookedUp,
} from "../model/looked-up.ts";
import { isOpen, shapeOf } from "../model/input-shape.ts";
import { layOutReduction, type ReductionLayout } from "./reduction-layout.ts";

/** A tensor whose gradient is given by rows. */
export interface RowTensor extends LookedUp, RowPart {}

/** Elements of an input; null where a run chooses. */
function sizeOf(spec: InputSpec): number | null {
  return isOpen(spec) ? null : spec.shape.reduce((product, size) => product * size, 1);
}

/** The tensors that train, are looked up, and have more rows than any training batch has ids; in table order. */
export function rowTensorsOf(model: Model, table: ParameterTable): readonly RowTensor[] {
  const shapes = [...model.shapes("train").values()];
  const { trainable } = layOutReduction(table);
  return trainable.flatMap(({ name, shape: [rows = 0] }, part): RowTensor[] => {
    const lookedUp = (model.lookedUp ?? []).find(({ tensor }) => tensor === name);
    if (lookedUp === undefined) return [];
    const specs = shapes.map((specs) => specs.find((spec) => spec.name === lookedUp.ids));
    if (specs.includes(undefined))
      throw new Error(`Cannot look up ${name} as no input is named ${lookedUp.ids}`);
    const sizes = specs.map((spec) => (spec === undefined ? 0 : sizeOf(spec)));
    const capacity = Math.max(...sizes.map((size) => size ?? lookedUp.idsMax ?? rows));
    return capacity < rows ? [{ ...lookedUp, part, rows, capacity }] : [];
  });
}

/** Inputs of a program that is given rows, beyond the batch's own. */
export function inputsOfRows(
  tensors: readonly RowTensor[],
  specs: readonly InputSpec[],
): readonly InputSpec[] {
  return tensors.flatMap(({ tensor, ids }) =>
    specs.filter(({ name }) => name === ids).flatMap((spec) => rowInputs(tensor, spec)),
  );
}

/** A part of the vector that a program gives. */
export interface GivenPart {
  /** Place among the parts of the reduction. */
  readonly part: number;
  /** Elements; null where the run chooses, which the last part may. */
  readonly size: number | null;
}

/**
 * The parts of the vector that a program of these inputs gives, in its order: whole parts first, so that these lie at the
 * same places whatever the batch; then of row tensors the rows that it is given.
 */
export function givenParts(
  { trainable, parts }: ReductionLayout,
  inputs: readonly InputSpec[],
): readonly GivenPart[] {
  const rowsOf = new Map(inputs.map((spec) => [spec.name, sizeOf(spec)]));
  const whole: GivenPart[] = [];
  const byRows: GivenPart[] = [];
  for (const [part, size] of parts.entries()) {
    const entry = trainable[part];
    const rows = entry === undefined ? undefined : rowsOf.get(rowsInput(entry.name));
    if (rows === undefined) whole.push({ part, size });
    else byRows.push({ part, size: rows === null ? null : (size / (entry?.shape[0] ?? 1)) * rows });
  }
  return [...whole, ...byRows];
}

/** Elements of the vector that a program of these inputs gives of a batch. @param arrays of the batch, rows included */
export function givenSize(
  layout: ReductionLayout,
  inputs: readonly InputSpec[],
  arrays: Readonly<Record<string, Float32Array | Int32Array>>,
): number {
  const resolved = inputs.map((spec): InputSpec => {
    const shape = isOpen(spec) ? shapeOf(spec, arrays[spec.name]?.length ?? 0) : null;
    return shape === null ? spec : { ...spec, shape };
  });
  return givenParts(layout, resolved).reduce((sum, { size }) => sum + (size ?? 0), 0);
}

/** What a batch's ids make: arrays to feed, and the rows that they touch, by tensor. */
export function rowsOfBatch(
  tensors: readonly RowTensor[],
  arrays: Readonly<Record<string, Float32Array | Int32Array>>,
): {
  readonly arrays: Readonly<Record<string, Int32Array>>;
  readonly touched: readonly TouchedRows[];
} {
  const fed: Record<string, Int32Array> = {};
  const touched = tensors.map(({ tensor, ids: name }): TouchedRows => {
    const ids = arrays[name];
    if (ids === undefined) throw new Error(`Cannot look up ${tensor}: input ${name} is missing`);
    const { rows, places } = touchedRows(ids);
    const filledUp = new Int32Array(ids.length);
    filledUp.set(rows);
    fed[rowsInput(tensor)] = filledUp;
    fed[placesInput(tensor)] = places;
    return { rows, room: ids.length };
  });
  return { arrays: fed, touched };
}
