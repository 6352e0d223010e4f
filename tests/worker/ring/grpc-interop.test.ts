/** Each end of our link against grpc-js with the generated codec: what the ring speaks is gRPC. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { makeRingProof, metadataNames } from "../../../proto/auth.ts";
import {
  PullRequestSchema,
  PullResponseSchema,
  RingService,
  type PullRequest,
  type PullResponse,
} from "../../../proto/gen/ringmaster/v1/ring_pb.ts";
import { clientOptions, defineService } from "../../../proto/service.ts";
import { GrpcInlet } from "../../../worker/ring/grpc-inlet.ts";
import { GrpcOutlet } from "../../../worker/ring/grpc-outlet.ts";
import { LinkBroken } from "../../../worker/ring/link.ts";
import { noLanes } from "../../../worker/ring/link-options.ts";
import { startRingServer } from "../../../worker/ring/ring-server.ts";

const { pull } = defineService(RingService);
const ringKey = new Uint8Array(32).fill(3);
const never = new AbortController().signal;
/** More than a window, so that both sides have to widen theirs. */
const sizes = [1, 100, 70_000, ...Array.from({ length: 5 }, () => 4 * 1024 * 1024)];

function payload(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => i % 251);
}

function optionsOf(leftAddress: string) {
  const neighbour = (workerId: string, ringAddress: string) =>
    ({ workerId, ringAddress, hostId: "elsewhere" }) as const;
  return {
    run: "interop",
    generation: 5n,
    rank: 0,
    workerId: "worker-0",
    hostId: "here",
    left: neighbour("worker-1", leftAddress),
    right: neighbour("worker-1", ""),
    ringKey,
    sharedMemoryFolder: null,
    lane: 0,
    lanes: noLanes,
    signal: never,
  };
}

async function serveByLibrary(
  handle: (call: ServerDuplexStream<PullRequest, PullResponse>, opening: PullRequest) => void,
): Promise<{ readonly server: Server; readonly address: string }> {
  const server = new Server();
  server.addService(defineService(RingService), {
    pull(call: ServerDuplexStream<PullRequest, PullResponse>) {
      call.on("error", () => undefined);
      call.once("data", (opening: PullRequest) => handle(call, opening));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, address: `127.0.0.1:${port}` };
}

function pullByLibrary(address: string, workerId: string, key: Uint8Array) {
  const client = new Client(address, credentials.createInsecure(), clientOptions);
  const metadata = new Metadata();
  metadata.set(metadataNames.worker, workerId);
  metadata.set(metadataNames.proof, makeRingProof(key, { workerId, generation: 5n, lane: 0 }));
  const { path, requestSerialize, responseDeserialize } = pull;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  call.write(create(PullRequestSchema, { run: "interop", generation: 5n, hostId: "far" }));
  return { client, call };
}

describe("the ring's gRPC", () => {
  it("pulls from a server of grpc-js", async () => {
    let seen: PullRequest | null = null;
    const { server, address } = await serveByLibrary((call, opening) => {
      seen = opening;
      assert.equal(call.metadata.get(metadataNames.worker)[0], "worker-0");
      call.sendMetadata(new Metadata());
      for (const [hop, size] of sizes.entries()) {
        const data = payload(size);
        call.write(create(PullResponseSchema, { generation: 5n, collective: 2n, hop, data }));
      }
      call.end();
    });
    const inlet = new GrpcInlet(optionsOf(address), null);
    await inlet.ready(never);
    for (const [hop, size] of sizes.entries()) {
      const chunk = await inlet.receive(never);
      assert.deepEqual([chunk.collective, chunk.hop], [2, hop]);
      assert.ok(Buffer.from(chunk.data).equals(payload(size)));
    }
    await assert.rejects(inlet.receive(never), /worker-1 has left the ring: its stream has ended/);
    assert.ok(seen !== null);
    const opening: PullRequest = seen;
    assert.deepEqual([opening.run, opening.generation, opening.hostId], ["interop", 5n, "here"]);
    server.forceShutdown();
  });
  it("says why a server of grpc-js refuses", async () => {
    const { server, address } = await serveByLibrary((call) =>
      call.emit("error", { code: 10, details: "generation 5 is over: 100 %", metadata: null }),
    );
    const inlet = new GrpcInlet(optionsOf(address), null);
    await assert.rejects(inlet.ready(never), (error: Error) => {
      assert.ok(error instanceof LinkBroken);
      assert.match(error.message, /10 ABORTED: generation 5 is over: 100 %/);
      return true;
    });
    server.forceShutdown();
  });
  it("serves a client of grpc-js, and tells it why it is refused", async () => {
    const server = await startRingServer({
      listenHost: "127.0.0.1",
      advertiseHost: "127.0.0.1",
      tls: null,
    });
    const outlet = new GrpcOutlet(optionsOf(""));
    server.expect({
      run: "interop",
      generation: 5n,
      ringKey,
      lane: 0,
      puller: "worker-1",
      attach: (call, opening) => outlet.attach(call, opening),
    });
    const stranger = pullByLibrary(server.address, "worker-1", new Uint8Array(32));
    const refused = await new Promise<Error>((resolve) => stranger.call.on("error", resolve));
    assert.match(refused.message, /UNAUTHENTICATED: ring proof is not valid/);
    stranger.client.close();
    const { client, call } = pullByLibrary(server.address, "worker-1", ringKey);
    const seen: PullResponse[] = [];
    call.on("data", (message: PullResponse) => seen.push(message));
    const ended = new Promise<void>((resolve) => call.on("end", resolve));
    await outlet.ready(never);
    for (const [hop, size] of sizes.entries()) {
      const data = payload(size);
      await outlet.send({ collective: 7, hop, offset: 64, data }, never);
      await outlet.flush(never);
      data.fill(0);
    }
    outlet.close(new LinkBroken("done"));
    await ended;
    assert.deepEqual(
      seen.map(({ collective, hop, offset }) => [collective, hop, offset]),
      sizes.map((_, hop) => [7n, hop, 64n]),
    );
    for (const [index, size] of sizes.entries())
      assert.ok(Buffer.from(seen[index]!.data).equals(payload(size)));
    client.close();
    await server.close();
  });
  it("waits for a neighbour that does not listen yet", async () => {
    const { server, address } = await serveByLibrary(() => undefined);
    server.forceShutdown();
    const inlet = new GrpcInlet(optionsOf(address), null);
    const again = await startRingServer({
      listenHost: "127.0.0.1",
      advertiseHost: "127.0.0.1",
      listenPort: Number(address.split(":")[1]),
      tls: null,
    });
    const outlet = new GrpcOutlet({ ...optionsOf(""), workerId: "worker-1" });
    again.expect({
      run: "interop",
      generation: 5n,
      ringKey,
      lane: 0,
      puller: "worker-0",
      attach: (call, opening) => outlet.attach(call, opening),
    });
    await inlet.ready(never);
    inlet.close(new LinkBroken("done"));
    await again.close();
  });
});
