/**
 * A worker's own ear on NATS: accepted commands go into its registry as they are broadcast. What is missed while NATS is
 * away comes with the RunStep of the step that it concerns.
 */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { Msg } from "nats";
import { parseNatsAddress } from "../../foundation/nats/nats-address.ts";
import { keepConnected, type NatsState } from "../../foundation/nats/steady-connection.ts";
import { ControlCommandSchema, type ControlCommand } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { commandBytesMax, controlSubject } from "../../proto/subjects.ts";
import type { ControlRegistry, Receipt } from "./control-registry.ts";

/** What the subscriber needs. */
export interface ControlSubscriberOptions {
  /** As JoinResponse names it. Throws BadInput when it is no NATS URL. */
  readonly url: string;
  readonly run: string;
  readonly worker: string;
  readonly registry: ControlRegistry;
  /** Told of every message that was a command, for the log. */
  readonly onReceived?: (command: ControlCommand, receipt: Receipt) => void;
}

/** A running subscription. */
export interface ControlSubscriber {
  /** Whether NATS is there now. */
  readonly connected: boolean;
  close(): Promise<void>;
}

function commandOf(message: Msg): ControlCommand | null {
  if (message.data.byteLength > commandBytesMax) return null;
  try {
    return fromJson(ControlCommandSchema, JSON.parse(message.string()) as JsonValue);
  } catch {
    // Not from a coordinator; the real commands come with RunStep in any case.
    return null;
  }
}

/** Subscribes in the background and returns at once; never fails for want of a server. */
export function subscribeControl(options: ControlSubscriberOptions): ControlSubscriber {
  const { registry, run, worker } = options;
  let state: NatsState = { kind: "away", reason: "not tried yet" };
  let served: unknown = null;
  const link = keepConnected({
    address: parseNatsAddress(options.url),
    name: `ringmaster ${worker} ${run}`,
    onState: (next) => {
      state = next;
      if (next.kind !== "connected" || served === next.connection) return;
      served = next.connection;
      next.connection.subscribe(controlSubject(run), {
        callback: (error, message) => {
          const command = error === null ? commandOf(message) : null;
          if (command === null) return;
          const receipt = registry.receive(command);
          options.onReceived?.(command, receipt);
        },
      });
    },
  });
  return {
    get connected() {
      return state.kind === "connected";
    },
    close: () => link.close(),
  };
}
