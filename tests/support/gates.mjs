// Loaded into every process of a run (NODE_OPTIONS=--import): holds up what goes on beside the steps while a file of
// RINGMASTER_TEST_GATES is there. `checkpoint-8` holds that folder from taking its place; `upload-0-2` the second state that
// the worker of place 0 gives. What is held has nothing else changed, but that `full-checkpoint-8` finds no place at all.
import { existsSync, promises } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread } from "node:worker_threads";

const gates = process.env["RINGMASTER_TEST_GATES"];
const place = process.env["RINGMASTER_LOCAL_RANK"];

async function opened(name) {
  while (existsSync(join(gates, name))) await sleep(5);
}

function holdFolders() {
  const { rename } = promises;
  promises.rename = async (from, to) => {
    await opened(basename(to));
    if (existsSync(join(gates, `full-${basename(to)}`))) throw new Error("no place on the disk");
    await rename(from, to);
  };
  syncBuiltinESMExports();
}

function holdUploads() {
  const http2 = createRequire(import.meta.url)("node:http2");
  const { connect } = http2;
  let uploads = 0;
  http2.connect = (...where) => {
    const session = connect(...where);
    const request = session.request.bind(session);
    session.request = (headers, ...options) => {
      const stream = request(headers, ...options);
      if (headers[":path"]?.endsWith("/WriteState")) {
        stream.cork();
        void opened(`upload-${place}-${++uploads}`).then(() => stream.uncork());
      }
      return stream;
    };
    return session;
  };
}

if (isMainThread && gates !== undefined) {
  if (place === undefined) holdFolders();
  else holdUploads();
}
