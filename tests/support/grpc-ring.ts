/** Rings of links by gRPC, all of them in one process. */
import assert from "node:assert/strict";
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { connectGrpcLink } from "../../worker/ring/grpc-link.ts";
import { startRingServer, type RingServer } from "../../worker/ring/ring-server.ts";
import type { LinkRing } from "../contract/link-contract.ts";

let generation = 0n;

/** A ring of links, and what each rank serves. */
export interface GrpcRing extends LinkRing {
  readonly servers: readonly RingServer[];
}

/**
 * Starts what each rank serves.
 * @param lanes of each rank, or of all
 */
export function startRings(
  count: number,
  lanes: number | readonly number[],
  tls: TlsIdentity | null = null,
): Promise<readonly RingServer[]> {
  return Promise.all(
    Array.from({ length: count }, (_, rank) =>
      startRingServer({
        listenHost: "127.0.0.1",
        advertiseHost: "127.0.0.1",
        tls,
        lanes: typeof lanes === "number" ? lanes : (lanes[rank] ?? 0),
      }),
    ),
  );
}

/**
 * @param options.folder where memory is shared; null for none
 * @param options.lanes of each rank, or of all
 */
export async function grpcRing(
  count: number,
  {
    folder = null,
    lanes = 0,
    tls = null,
    leave = () => Promise.resolve(),
    servers: given = null,
  }: {
    readonly folder?: string | null;
    readonly lanes?: number | readonly number[];
    readonly tls?: TlsIdentity | null;
    /** Done before the ring is formed. */
    readonly leave?: (servers: readonly RingServer[]) => Promise<void>;
    /** Those of an earlier ring, which stay; new ones by default. */
    readonly servers?: readonly RingServer[] | null;
  } = {},
): Promise<GrpcRing> {
  generation += 1n;
  const ringKey = new Uint8Array(32).fill(7);
  const servers = given ?? (await startRings(count, lanes, tls));
  await leave(servers);
  const members = servers.map((server, rank) => ({
    workerId: `worker-${rank}`,
    ringAddress: server.address,
    hostId: "here",
  }));
  const links = await Promise.all(
    servers.map((server, rank) =>
      connectGrpcLink(server, {
        run: "links-test",
        generation,
        rank,
        workerId: `worker-${rank}`,
        hostId: "here",
        left: members[(rank + count - 1) % count]!,
        right: members[(rank + 1) % count]!,
        ringKey,
        sharedMemoryFolder: folder,
        signal: new AbortController().signal,
      }),
    ),
  );
  for (const link of links) assert.equal(link.transport, folder === null ? "grpc" : "shm");
  return {
    links,
    servers,
    close: async () => {
      for (const link of links) link.close();
      if (given === null) await Promise.all(servers.map((server) => server.close()));
    },
  };
}
