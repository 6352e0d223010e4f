import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fromTrainerPage, jobFilePage } from "../../../foundation/job/settings-page.ts";

function page(name: string): string {
  return readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8");
}

describe("the guides", () => {
  it("hold the tables as the code has them (otherwise: npm run docs)", () => {
    assert.equal(page("from-trainer.md"), fromTrainerPage());
    assert.equal(page("job-file.md"), jobFilePage(page("job-file.md")));
  });

  it("are not renewed where the marks are lost", () => {
    assert.throws(() => jobFilePage("# Jobs\n"), /lacks/);
  });
});
