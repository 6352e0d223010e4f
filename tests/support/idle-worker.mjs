// Stands for a worker: says that it is there, ignores SIGTERM, and waits to be ended.
const place = process.env["RINGMASTER_LOCAL_RANK"];
const run = process.env["RINGMASTER_RUN"];
process.on("SIGTERM", () => {});
setInterval(() => {}, 1_000_000);
process.stderr.write(`worker ${place} of ${run} is there\n`);
