/** What a set-up's progress looks like, with a clock of the test's own. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  createProgressSink,
  describeBytes,
  describeDuration,
  describeProgress,
} from "../../../foundation/native/progress.ts";

function record(isTerminal: boolean): { text: () => string; run: () => void } {
  let text = "";
  let clock = 0;
  const output = {
    write: (written: string) => {
      text += written;
    },
  };
  const sink = createProgressSink({ output, isTerminal, now: () => clock });
  return {
    text: () => text,
    run: () => {
      const task = sink.begin({ label: "fetch part", totalBytes: 200_000_000 });
      for (let second = 0; second < 4; second++) {
        clock += 1000;
        task.advance(50_000_000);
      }
      task.end();
    },
  };
}

describe("createProgressSink()", () => {
  it("writes plain lines where there is no terminal", () => {
    const { text, run } = record(false);
    run();
    assert.equal(text(), "  fetch part (200 MB) …\n  fetch part  done, 200 MB in 4 s\n");
  });

  it("draws one line over and over on a terminal, and leaves the last", () => {
    const { text, run } = record(true);
    run();
    const drawn = text().split("\r\u001b[2K").slice(1);
    assert.equal(drawn.length, 6);
    assert.match(drawn[2] ?? "", /50 %  100 MB of 200 MB  50 MB\/s  2 s left$/);
    assert.equal(drawn.at(-1), "  fetch part  done, 200 MB in 4 s\n");
  });
});

describe("describeProgress()", () => {
  it("shows no bar for what has no known size", () => {
    const state = { label: "compile", doneBytes: 0, totalBytes: null, elapsedMs: 61_000 };
    assert.equal(describeProgress(state), "  compile  1 min 1 s");
  });

  it("never shows more than the whole", () => {
    const state = { label: "x", doneBytes: 30, totalBytes: 10, elapsedMs: 1000 };
    assert.match(describeProgress(state), /█{24} 100 %/);
  });
});

describe("describeBytes() and describeDuration()", () => {
  it("round as people do", () => {
    assert.deepEqual(
      [0, 999, 1000, 7_217_765, 273_829_956, 999_700_000, 1_450_000_000].map(describeBytes),
      ["0 B", "999 B", "1.0 kB", "7.2 MB", "274 MB", "1.0 GB", "1.4 GB"],
    );
    assert.equal(describeDuration(125_400), "2 min 5 s");
  });
});
