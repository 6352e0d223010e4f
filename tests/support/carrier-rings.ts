/** Rings whose ranks have carriers, over real sockets, all of them in one process. */
import { exactAddonFile } from "../../foundation/native/addon-files.ts";
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { loadCarriers } from "../../worker/ring/carrier-addon.ts";
import { joinRing, type Ring } from "../../worker/ring/ring.ts";
import { startRings } from "./grpc-ring.ts";
import { installedBinding } from "./installed-binding.ts";

export const carriers = loadCarriers(exactAddonFile(await installedBinding()));
let generation = 0n;

/** Rings, and what ends them. */
export interface CarrierRings {
  readonly rings: readonly Ring[];
  /** At which each rank serves its right neighbour. */
  readonly ports: readonly number[];
  readonly close: () => Promise<void>;
}

/** How they are made. */
export interface CarrierMeans {
  /** Ranks that have no addon; by default all have it. */
  readonly without?: readonly number[];
  /** Of each rank; none by default. */
  readonly lanes?: number;
  /** None by default. */
  readonly tls?: TlsIdentity | null;
}

/** Forms a ring of so many ranks. */
export async function carrierRings(
  count: number,
  { without = [], lanes = 0, tls = null }: CarrierMeans = {},
): Promise<CarrierRings> {
  const servers = await startRings(count, lanes, tls);
  generation += 1n;
  const members = servers.map(({ address }, rank) => ({
    workerId: `worker-${rank}`,
    ringAddress: address,
    hostId: "here",
  }));
  const rings = await Promise.all(
    servers.map((server, rank) =>
      joinRing(server, {
        run: "carrier-test",
        generation,
        rank,
        members,
        ringKey: new Uint8Array(32).fill(3),
        signal: new AbortController().signal,
        transport: "grpc",
        carriers: without.includes(rank) ? null : carriers,
      }),
    ),
  );
  return {
    rings,
    ports: servers.map(({ address }) => Number(address.split(":").at(-1))),
    async close() {
      for (const ring of rings) await ring.close();
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}
