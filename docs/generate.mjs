// Renews what the guides hold of the tables in the code: `npm run docs`.
import { readFileSync, writeFileSync } from "node:fs";
import { register } from "tsx/esm/api";

register();
const { fromTrainerPage, jobFilePage } = await import("../foundation/job/settings-page.ts");
const fromTrainer = new URL("from-trainer.md", import.meta.url);
const jobFile = new URL("job-file.md", import.meta.url);
writeFileSync(fromTrainer, fromTrainerPage());
writeFileSync(jobFile, jobFilePage(readFileSync(jobFile, "utf8")));
