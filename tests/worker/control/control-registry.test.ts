/** Commands from two sides act once each, at their step. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ControlRegistry } from "../../../worker/control/control-registry.ts";

const pause = { id: "a", verb: "pause", step: 5n, value: 0 };

describe("control registry", () => {
  it("holds a command until its step and gives it out once", () => {
    const registry = new ControlRegistry();
    assert.equal(registry.receive(pause), "new");
    assert.equal(registry.receive(pause), "known");
    assert.deepEqual(registry.takeDue(4), []);
    assert.deepEqual(registry.takeDue(5), [{ id: "a", verb: "pause", step: 5, value: 0 }]);
    assert.equal(registry.receive(pause), "known", "the other way comes late");
    assert.deepEqual(registry.takeDue(6), []);
  });

  it("knows that the next step waits, until a resume comes by either way", () => {
    const registry = new ControlRegistry();
    assert.equal(registry.pausing, false);
    registry.receive(pause);
    registry.receive({ ...pause, id: "b", verb: "evaluate" });
    assert.equal(registry.pausing, true);
    registry.receive({ ...pause, id: "c", verb: "resume" });
    assert.equal(registry.pausing, false);
  });

  it("acts late rather than never on a command whose step has passed", () => {
    const registry = new ControlRegistry();
    registry.receive(pause);
    assert.equal(registry.takeDue(9).length, 1);
  });

  it("orders by step, then by arrival", () => {
    const registry = new ControlRegistry();
    registry.receive({ ...pause, id: "late", step: 7n });
    registry.receive({ ...pause, id: "first", step: 3n });
    registry.receive({ ...pause, id: "second", verb: "resume", step: 3n });
    assert.deepEqual(
      registry.takeDue(7).map(({ id }) => id),
      ["first", "second", "late"],
    );
  });

  it("refuses what no accepted command can be", () => {
    const registry = new ControlRegistry();
    for (const wrong of [
      { ...pause, verb: "dance" },
      { ...pause, id: "" },
      { ...pause, step: 2n ** 60n },
      { ...pause, verb: "set-learning-rate", value: Number.NaN },
      { ...pause, verb: "set-learning-rate", value: -1 },
    ]) {
      assert.equal(registry.receive(wrong), "refused");
    }
    assert.equal(registry.waiting, 0);
  });

  it("acts once on each of any messages, in whatever order and however often they come", () => {
    const message = fc.record({
      id: fc.integer({ min: 0, max: 9 }),
      step: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
        const registry = new ControlRegistry();
        const acted: string[] = [];
        for (const [index, { id }] of messages.entries()) {
          // The step of an id is always the same, as the coordinator has it.
          registry.receive({ ...pause, id: `c${id}`, step: BigInt(id + 1) });
          if (index % 3 === 0) acted.push(...registry.takeDue(index).map((command) => command.id));
        }
        acted.push(...registry.takeDue(100).map((command) => command.id));
        const expected = new Set(messages.map(({ id }) => `c${id}`));
        assert.equal(acted.length, expected.size);
        assert.deepEqual(new Set(acted), expected);
      }),
    );
  });
});
