/** A worker as a scripted coordinator sees it: directives by hand, reports one by one. */
import { create } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import {
  AttendResponseSchema,
  type AttendRequest,
  type AttendResponse,
  type JoinRequest,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";

type Report = AttendRequest["report"];
type ReportOf<Case extends string> =
  Extract<Report, { case: Case }> extends { value: infer Value } ? Value : never;

/** One worker as the coordinator sees it. */
export class ScriptedWorker {
  readonly workerId: string;
  readonly introduction: JoinRequest;
  readonly #run: string;
  readonly #call: ServerDuplexStream<AttendRequest, AttendResponse>;
  readonly #reports: AttendRequest[] = [];
  readonly heartbeats: string[] = [];
  #wake: () => void = () => undefined;
  ended = false;

  constructor(
    run: string,
    workerId: string,
    introduction: JoinRequest,
    call: ServerDuplexStream<AttendRequest, AttendResponse>,
  ) {
    this.#run = run;
    this.workerId = workerId;
    this.introduction = introduction;
    this.#call = call;
    call.on("data", (message: AttendRequest) => {
      if (message.report.case === "heartbeat") this.heartbeats.push(message.report.value.state);
      else this.#reports.push(message);
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    call.on("end", () => {
      call.end();
      end();
    });
    call.on("cancelled", end).on("error", end);
  }

  /** Sends a directive. */
  send(directive: AttendResponse["directive"]): void {
    this.#call.write(create(AttendResponseSchema, { run: this.#run, directive }));
  }

  /** The next report, which must be of this kind. */
  async next<Case extends NonNullable<Report["case"]>>(kind: Case): Promise<ReportOf<Case>> {
    const message = await this.nextMessage();
    if (message.report.case !== kind) {
      const failure = message.report.case === "failed" ? `: ${message.report.value.detail}` : "";
      throw new Error(`expected ${kind}, got ${message.report.case}${failure}`);
    }
    return message.report.value as ReportOf<Case>;
  }

  /** The next message that is no heartbeat. */
  async nextMessage(): Promise<AttendRequest> {
    for (;;) {
      const message = this.#reports.shift();
      if (message !== undefined) return message;
      if (this.ended) throw new Error("the worker has left");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves when a heartbeat says this. */
  async heard(state: RegExp): Promise<void> {
    while (!this.heartbeats.some((one) => state.test(one))) {
      if (this.ended) throw new Error("the worker has left");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends the stream from the coordinator's side. */
  dismiss(): void {
    this.#call.end();
  }

  /** Resolves when the worker has left. */
  async left(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
