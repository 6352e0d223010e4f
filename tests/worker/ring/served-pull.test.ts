/** A pull whose stream the neighbour has reset, while whoever serves it still answers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { status } from "@grpc/grpc-js";
import { DataSender } from "../../../worker/ring/data-sender.ts";
import { ServedPull } from "../../../worker/ring/served-pull.ts";

describe("a served pull", () => {
  it("answers nothing on a stream that is closed and not yet destroyed", async (t) => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const client = connect(`http://127.0.0.1:${port}`);
    t.after(() => {
      client.destroy();
      server.close();
    });
    const answers = {
      accept: (pull: ServedPull) => pull.accept(),
      refuse: (pull: ServedPull) => pull.refuse(status.ABORTED, "it is over"),
      end: (pull: ServedPull) => pull.end(),
    };
    for (const [name, answer] of Object.entries(answers)) {
      const seen = new Promise<boolean>((resolve, reject) => {
        server.once("stream", (stream: ServerHttp2Stream, headers) => {
          let hasLost = false;
          const connection = {
            session: stream.session as ServerHttp2Session,
            sender: new DataSender(() => undefined),
            handOver: () => null,
          };
          const pull = new ServedPull(stream, headers, connection, {
            request: () => undefined,
            lost: () => (hasLost = true),
          });
          stream.close();
          try {
            assert.ok(stream.closed && !stream.destroyed, name);
            answer(pull);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
          stream.once("close", () => resolve(hasLost));
        });
      });
      const request = client.request({ ":method": "POST" });
      request.on("error", () => undefined);
      assert.equal(await seen, true, `${name}: whoever listens hears that it is lost`);
    }
  });
});
