/**
 * Accepted control commands on their way to a worker: by NATS as they are broadcast, and with the RunStep that they
 * concern, whichever comes first. What a command changes (the learning rate, the order of directives) the coordinator
 * carries out for all workers at once; a worker notes at which step it met it.
 */
import type { Logger } from "pino";
import type { ControlCommand } from "../proto/gen/ringmaster/v1/run_pb.ts";
import { ControlRegistry } from "./control/control-registry.ts";
import type { ControlSubscriber } from "./control/control-subscriber.ts";
import type { Membership } from "./session/join.ts";

/** A worker's commands. */
export interface Commands {
  /** Notes what a step brings, and acts on what is due, once. */
  act(step: number, accepted: readonly ControlCommand[]): void;
  /** Whether the next step waits for a `resume`. */
  readonly pausing: boolean;
  close(): Promise<void>;
}

/** Listens on NATS where the run has one. */
export async function listenToCommands(membership: Membership, log: Logger): Promise<Commands> {
  const registry = new ControlRegistry();
  const subscriber = await subscriberFor(membership, registry, log);
  return {
    get pausing() {
      return registry.pausing;
    },
    act(step, accepted) {
      for (const command of accepted) registry.receive(command);
      for (const { id, verb, value } of registry.takeDue(step)) {
        log.info({ id, verb, step, value }, "command in effect");
      }
    },
    close: async () => {
      await subscriber?.close();
    },
  };
}

async function subscriberFor(
  { identity, natsUrl }: Membership,
  registry: ControlRegistry,
  log: Logger,
): Promise<ControlSubscriber | null> {
  if (natsUrl === null) return null;
  // Loaded only where it is needed: a prediction's workers do without NATS's client.
  const { subscribeControl } = await import("./control/control-subscriber.ts");
  return subscribeControl({
    url: natsUrl,
    run: identity.run,
    worker: identity.workerId,
    registry,
    onReceived: ({ id, verb, step }, receipt) =>
      log.info({ id, verb, step: Number(step), receipt }, "command heard"),
  });
}
