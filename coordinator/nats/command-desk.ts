/**
 * Where requests are answered: one after the other, checked, decided by the run, broadcast to the workers when accepted,
 * answered in any case. A request that comes twice (a client that got no answer) is decided once.
 */
import { create, toJsonString } from "@bufbuild/protobuf";
import type { Msg, NatsConnection } from "nats";
import { ControlCommandSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import {
  commandBytesMax,
  commandSubject,
  controlSubject,
  type ControlVerb,
} from "../../proto/subjects.ts";
import {
  answerOf,
  parseCommand,
  type Command,
  type CommandAnswer,
  type CommandDecision,
} from "./command.ts";

/** Decides over a command: accepts it for a step (journaled by then), or refuses it with the reason. */
export type CommandHandler = (command: Command) => Promise<CommandDecision>;

/** What the desk needs. */
export interface CommandDeskOptions {
  readonly run: string;
  readonly newId: () => string;
  /** Told of every answer, for metrics and the log. */
  readonly onAnswer: (answer: CommandAnswer) => void;
  readonly say: (line: string) => void;
}

/** Answers kept for requests that come again. */
const answersKept = 1_000;
/** Requests that wait for their turn; more are refused. */
const requestsMax = 64;

/** Answers the requests of one run. */
export class CommandDesk {
  readonly #options: CommandDeskOptions;
  readonly #answers = new Map<string, CommandAnswer>();
  #handler: CommandHandler | null = null;
  #line: Promise<void> = Promise.resolve();
  #inLine = 0;

  constructor(options: CommandDeskOptions) {
    this.#options = options;
  }

  /** Sets who decides; before that every command is refused. */
  set handler(handler: CommandHandler) {
    this.#handler = handler;
  }

  /** Subscribes to the run's commands on a new connection; nats.js renews the subscription over its own reconnects. */
  serve(connection: NatsConnection): void {
    connection.subscribe(commandSubject(this.#options.run, "*"), {
      callback: (error, message) => {
        if (error === null) this.#take(connection, message);
        else this.#options.say(`NATS refused to pass commands on: ${error.message}`);
      },
    });
  }

  /** Decides over a command from inside (a key press, a signal) as if it had come by NATS, broadcast included. */
  async decide(
    verb: ControlVerb,
    value: number | null,
    connection: NatsConnection | null,
  ): Promise<CommandAnswer> {
    return await this.#answer({ id: this.#options.newId(), verb, value }, connection);
  }

  #take(connection: NatsConnection, message: Msg): void {
    const verb = message.subject.slice(message.subject.lastIndexOf(".") + 1);
    const refuse = (reason: string): void =>
      this.#reply(message, { accepted: false, verb, reason });
    if (message.data.byteLength > commandBytesMax) {
      refuse(`expected at most ${commandBytesMax} bytes, found ${message.data.byteLength}`);
    } else if (this.#inLine >= requestsMax) {
      refuse(`${requestsMax} commands are waiting already`);
    } else {
      const parsed = parseCommand(verb, message.string(), this.#options.newId);
      if (parsed.kind === "refused") {
        refuse(parsed.reason);
        return;
      }
      this.#inLine += 1;
      this.#line = this.#line.then(async () => {
        this.#reply(message, await this.#answer(parsed.command, connection));
        this.#inLine -= 1;
      });
    }
  }

  async #answer(command: Command, connection: NatsConnection | null): Promise<CommandAnswer> {
    const known = this.#answers.get(command.id);
    if (known !== undefined) {
      return known.verb === command.verb
        ? known
        : {
            accepted: false,
            verb: command.verb,
            reason: `the id ${command.id} was given to ${known.verb}`,
          };
    }
    const answer = answerOf(command, await this.#decision(command));
    if (answer.accepted) {
      this.#remember(command.id, answer);
      if (connection !== null) this.#broadcast(connection, command, answer.step);
    }
    return answer;
  }

  async #decision(command: Command): Promise<CommandDecision> {
    if (this.#handler === null) return { accepted: false, reason: "the run has not started yet" };
    try {
      return await this.#handler(command);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      this.#options.say(`The command ${command.verb} failed: ${words}`);
      return { accepted: false, reason: `the coordinator failed: ${words}` };
    }
  }

  #remember(id: string, answer: CommandAnswer): void {
    this.#answers.set(id, answer);
    const oldest = this.#answers.keys().next();
    if (this.#answers.size > answersKept && oldest.done !== true)
      this.#answers.delete(oldest.value);
  }

  /** Best effort: a worker that does not get it here gets it with its RunStep. */
  #broadcast(connection: NatsConnection, command: Command, step: number): void {
    const control = create(ControlCommandSchema, {
      id: command.id,
      verb: command.verb,
      step: BigInt(step),
      value: command.value ?? 0,
    });
    try {
      connection.publish(
        controlSubject(this.#options.run),
        toJsonString(ControlCommandSchema, control),
      );
    } catch {
      // Disconnected for good between the request and here.
    }
  }

  #reply(message: Msg, answer: CommandAnswer): void {
    this.#options.onAnswer(answer);
    try {
      message.respond(JSON.stringify(answer));
    } catch {
      // The asker's connection went with the server; it asks again with the same id.
    }
  }
}
