/**
 * A lane as the main thread sees it: a thread with connections of its own to both neighbours. The kernel's copies, HTTP/2 and
 * TLS of what goes by a lane take that thread's time; the main thread goes on adding up.
 */
import { MessageChannel, Worker, type MessagePort } from "node:worker_threads";
import type {
  LaneAnswer,
  LaneArrival,
  LaneEnds,
  LanePlace,
  LaneRequest,
  LaneSend,
  LaneSent,
  LaneSettings,
} from "./lane-messages.ts";
import type { ChunkHead } from "./link.ts";

/** This thread makes little garbage, and needs no young generation of the size that the main thread's buffers do. */
const threadLimits = { maxYoungGenerationSizeMb: 6 } as const;
/** How long a thread that is told to stop is waited for, in milliseconds. */
const stopMsMax = 10_000;

/** Sends to the right neighbour. */
export interface LaneOutlet {
  /** Sends a chunk whose payload is in shared memory. */
  send(send: LaneSend): void;
  close(): void;
}

/** Receives from the left neighbour. */
export interface LaneInlet {
  /** A chunk that will arrive may be put there. It need not be: what arrives says so. */
  place(head: ChunkHead, place: Uint8Array): void;
  /** What arrived in the lane's own memory has been used. */
  taken(): void;
  /**
   * Ends it.
   * @param waits until nothing is written to places any more. Throws where the thread does not answer.
   */
  close(waits: boolean): void;
}

/** One lane, over all generations; it serves one at a time. */
export interface Lane {
  /** host:port of its own ring service. */
  readonly address: string;
  /** Lets the right neighbour of a generation pull. `heard` is called for each chunk that has left, and when it is over. */
  serve(ends: LaneEnds, heard: (sent: LaneSent) => void): LaneOutlet;
  /** Pulls from the left neighbour of a generation. */
  pull(ends: LaneEnds, heard: (arrival: LaneArrival) => void): LaneInlet;
  /** Ends the thread, once neighbours have taken what was sent, or a second later. Safe to call twice. */
  end(): Promise<void>;
}

const ended = { kind: "lost", reason: "the lane's thread has ended" } as const;

/** Starts a thread and its ring service. Rejects where it cannot. */
export async function startLane(settings: LaneSettings): Promise<Lane> {
  const thread = new Worker(new URL("./lane-thread.mjs", import.meta.url), {
    workerData: settings,
    name: "lane",
    resourceLimits: threadLimits,
  });
  const address = await new Promise<string>((resolve, reject) => {
    thread.once("message", (answer: LaneAnswer) => {
      if (answer.kind === "ready") resolve(answer.address);
      else reject(new Error(answer.reason));
    });
    thread.on("error", reject);
    thread.once("exit", (code) =>
      reject(new Error(`The lane's thread has ended with code ${code}`)),
    );
  });
  const over = new Promise<void>((resolve) => thread.once("exit", () => resolve()));
  const begin = <Heard>(
    request: (port: MessagePort) => LaneRequest,
    heard: (message: Heard | typeof ended) => void,
  ): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", heard);
    // Ends with the thread, whatever ends that.
    port1.on("close", () => heard(ended));
    thread.postMessage(request(port2), [port2]);
    return port1;
  };
  return {
    address,
    serve(ends, heard) {
      const port = begin<LaneSent>((own) => ({ kind: "serve", ends, port: own }), heard);
      return { send: (send) => port.postMessage(send), close: () => port.close() };
    },
    pull(ends, heard) {
      const stopped = new Int32Array(new SharedArrayBuffer(4));
      let isOver = false;
      const port = begin<LaneArrival>(
        (own) => ({ kind: "pull", ends, port: own, stopped }),
        (arrival) => {
          isOver ||= arrival === ended;
          heard(arrival);
        },
      );
      const tell = (message: LanePlace): void => port.postMessage(message);
      return {
        place: (head, place) => tell({ kind: "place", head, place }),
        taken: () => tell({ kind: "taken" }),
        close(waits) {
          tell({ kind: "stop" });
          port.close();
          // A thread that has ended writes no more, and would not answer.
          if (waits && !isOver && Atomics.wait(stopped, 0, 0, stopMsMax) === "timed-out") {
            throw new Error(
              `Cannot use memory that a lane's thread may write to: it has not stopped after ${stopMsMax} ms`,
            );
          }
        },
      };
    },
    end() {
      thread.postMessage({ kind: "end" } satisfies LaneRequest);
      return over;
    },
  };
}
