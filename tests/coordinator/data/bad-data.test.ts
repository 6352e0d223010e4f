/** Every way in which data can be wrong: refused with file, line, column, expected and found. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { BadInput, type BadInputPlace } from "../../../foundation/bad-input.ts";
import { badFileCases } from "./support/bad-file-cases.ts";
import { badLabelCases } from "./support/bad-label-cases.ts";
import { DataFolder } from "./support/data-folder.ts";

describe("bad data", () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  for (const { name, file = "a.tsv", content, settings, labels, ...wanted } of [
    ...badFileCases,
    ...badLabelCases,
  ]) {
    it(`refuses ${name}`, async () => {
      await assert.rejects(
        folder.train(file, content, {
          ...(settings === undefined ? {} : { settings }),
          ...(labels === undefined ? {} : { labels }),
        }),
        (error) => {
          assert.ok(error instanceof BadInput, String(error));
          const { place } = error;
          if (place.flag !== "--validation-split") assert.equal(place.file, folder.file(file));
          for (const [key, value] of Object.entries(wanted.place)) {
            assert.equal(place[key as keyof BadInputPlace], value, error.message);
          }
          assert.match(place.expected, wanted.expected, error.message);
          if (wanted.found !== undefined) assert.match(place.found ?? "", wanted.found);
          return true;
        },
      );
    });
  }

  it("refuses validation data whose label training does not know, naming its line", async () => {
    const trainFiles = [await folder.write("t.csv", "text,label\na,x\nb,y\n")];
    const validationFiles = [await folder.write("v.csv", "text,label\na,x\nb,z\n")];
    await assert.rejects(folder.open({ trainFiles, validationFiles }), {
      message: `${validationFiles[0]}, line 3, column label: expected one of the 2 labels "x", "y", found "z"`,
    });
  });

  it("refuses test data of which only some has labels", async () => {
    const trainFiles = [await folder.write("t.csv", "text,label\na,x\nb,y\n")];
    const testFiles = [await folder.write("v.csv", "text,label\na,x\nb,\n")];
    await assert.rejects(folder.open({ trainFiles, testFiles }), /line 3, column label/);
  });

  it("refuses files that are not alike, and names that stand for nothing", async () => {
    const single = await folder.write("single.csv", "text,label\na,x\nb,y\n");
    const pairs = await folder.write("pairs.csv", "text,text_pair,label\na,b,x\nb,c,y\n");
    await assert.rejects(
      folder.open({ trainFiles: [single, pairs] }),
      /pairs\.csv: expected one text/,
    );
    for (const missing of ["nowhere.csv", "no*.csv"]) {
      await assert.rejects(folder.open({ trainFiles: [folder.file(missing)] }), BadInput);
    }
    await assert.rejects(folder.open({}), /--train-file: expected files of data/);
  });
});
