/** A package index on loopback with one small wheel, for the user's real pip; it can stop in the middle of the file. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { join } from "node:path";
import type { PinnedWheel } from "../../../foundation/native/pins.ts";

const fileName = "ringmaster_test_part-1.0-py3-none-any.whl";

/** Makes a valid wheel with a payload of random bytes (it must not shrink) in that folder. */
export function makeWheel(
  folder: string,
  payloadBytes: number,
): { pin: PinnedWheel; content: Buffer } {
  const program = `
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    info = "ringmaster_test_part-1.0.dist-info/"
    wheel.writestr("part/payload", os.urandom(int(sys.argv[2])))
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: ringmaster-test-part\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "")
`;
  const file = join(folder, fileName);
  execFileSync("python3", ["-c", program, file, String(payloadBytes)]);
  const content = readFileSync(file);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const bytes = content.length;
  return {
    pin: { package: "ringmaster-test-part", version: "1.0", fileName, sha256, bytes },
    content,
  };
}

/** A started index. */
export interface WheelIndex {
  readonly url: string;
  /** The next download stops half-way and resolves this; `gone` when its reader has left. */
  stall(): { readonly halfWay: Promise<void>; readonly gone: Promise<void> };
  close(): Promise<void>;
}

/** Serves the wheel as a package index does. */
export async function startWheelIndex(content: Buffer): Promise<WheelIndex> {
  let stalled: ((response: ServerResponse) => void) | null = null;
  const server = createServer((request, response) => {
    if (!request.url?.endsWith(".whl")) {
      response.setHeader("content-type", "text/html");
      response.end(`<!doctype html><a href="/files/${fileName}">${fileName}</a>`);
      return;
    }
    response.setHeader("content-length", content.length);
    if (stalled === null) {
      response.end(content);
      return;
    }
    response.write(content.subarray(0, content.length / 2));
    stalled(response);
    stalled = null;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return {
    url: `http://127.0.0.1:${address.port}/simple`,
    stall() {
      const opened = new Promise<ServerResponse>((resolve) => {
        stalled = resolve;
      });
      return {
        halfWay: opened.then(() => undefined),
        gone: opened.then(async (response) => {
          if (!response.closed) await once(response, "close");
        }),
      };
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** The environment of a pip that knows that index only, and gives up at once. */
export function pipEnvironment(url: string): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(pip|https?|all)_/i.test(name)) delete env[name];
  return { ...env, PIP_INDEX_URL: url, PIP_RETRIES: "1", PIP_CONFIG_FILE: "/dev/null" };
}
