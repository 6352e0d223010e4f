import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import type { HubAccess } from "../../../foundation/hub/hub-access.ts";
import { resolveModel } from "../../../foundation/hub/hub.ts";
import { SetupProblem } from "../../../foundation/native/setup-problem.ts";
import { hubContent, weights } from "./support/hub-content.ts";
import { startHubServer, type HubServer, type SeenRequest } from "../../support/hub-server.ts";

describe("hub", () => {
  let server: HubServer;
  let cacheFolder: string;
  const told: string[] = [];

  function access(env: Record<string, string> = {}, signal?: AbortSignal): HubAccess {
    return {
      env: { HF_ENDPOINT: server.url, ...env },
      cacheFolder,
      backoffMs: 1,
      silenceMs: 2000,
      signal: signal ?? new AbortController().signal,
      progress: {
        begin: ({ label }) => ({
          advance: () => undefined,
          end: (note) => told.push(`${label} ${note ?? "done"}`),
        }),
      },
    };
  }

  const ofWeights = ({ origin }: SeenRequest): boolean => origin === "store";
  const contentRequests = (): readonly SeenRequest[] =>
    server.requests.filter(({ path }) => !path.startsWith("/api"));

  async function model(name = "owner/tiny", env: Record<string, string> = {}): Promise<string> {
    const folder = await resolveModel(name, "main", access(env));
    assert.deepEqual(await readFile(join(folder, "model.safetensors")), weights);
    return folder;
  }

  async function leftovers(): Promise<readonly string[]> {
    const all = await readdir(cacheFolder, { recursive: true });
    return all.filter((name) => name.endsWith(".incomplete"));
  }

  before(async () => {
    server = await startHubServer(hubContent);
  });
  after(() => server.close());
  beforeEach(async () => {
    cacheFolder = await mkdtemp(join(tmpdir(), "ringmaster-hub-"));
    server.requests.length = 0;
    server.fault = () => null;
    told.length = 0;
  });
  afterEach(() => rm(cacheFolder, { recursive: true, force: true }));

  it("fetches config, weights and tokenizer once, then only asks what is new", async () => {
    const folder = await model();
    assert.deepEqual((await readdir(folder)).toSorted(), [
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "vocab.txt",
    ]);
    server.requests.length = 0;
    assert.equal(await model(), folder);
    assert.equal(server.requests.length, 1);
    assert.deepEqual(await leftovers(), []);
  });

  it("takes a local folder as it is, and follows a moved name", async () => {
    assert.equal(await resolveModel(cacheFolder, "main", access()), cacheFolder);
    assert.equal(server.requests.length, 0);
    await model("bert-base-uncased");
  });

  it("fetches another revision beside the first, sharing what is the same", async () => {
    await model();
    server.requests.length = 0;
    const folder = await resolveModel("owner/tiny", "v1", access());
    assert.equal(await readFile(join(folder, "vocab.txt"), "utf8"), "v1");
    assert.equal(contentRequests().length, 1);
    await assert.rejects(resolveModel("owner/tiny", "v9", access()), {
      name: "BadInput",
      message: "--model-revision: expected a revision of owner/tiny, found v9",
    });
  });

  it("fetches shards with their index", async () => {
    const folder = await resolveModel("owner/sharded", "main", access());
    assert.equal((await readdir(folder)).length, 4);
  });

  it("goes on where a connection broke, without asking for a byte twice", async () => {
    let breaks = 0;
    server.fault = (request) => {
      if (!ofWeights(request) || breaks === 3) return null;
      breaks += 1;
      return { kind: "break", afterBytes: 70_000 };
    };
    await model();
    const ranges = server.requests.filter(ofWeights).map(({ range }) => range);
    assert.equal(ranges.length, 4);
    assert.equal(ranges[0], null);
    const starts = ranges.slice(1).map((range) => Number(/\d+/.exec(range ?? "")?.[0]));
    assert.ok(
      starts.every((start, index) => start > (starts[index - 1] ?? 0)),
      starts.join(),
    );
  });

  it("resumes in the next process what this one could not finish", async () => {
    server.fault = (request) => {
      if (!ofWeights(request)) return null;
      return request.range === null
        ? { kind: "break", afterBytes: 200_000 }
        : { kind: "status", status: 503 };
    };
    await assert.rejects(model(), SetupProblem);
    assert.equal((await leftovers()).length, 1);
    server.fault = () => null;
    server.requests.length = 0;
    await model();
    assert.match(server.requests.find(ofWeights)?.range ?? "", /^bytes=[1-9]\d+-$/);
  });

  it("starts over where the server does not resume, or has nothing there", async () => {
    let broke = false;
    server.fault = (request) => {
      if (!ofWeights(request)) return null;
      if (broke) return { kind: "ignoreRange" };
      broke = true;
      return { kind: "break", afterBytes: 100_000 };
    };
    await model();
    await rm(join(cacheFolder, "hub"), { recursive: true });
    server.fault = (request) => (ofWeights(request) ? { kind: "truncate", toBytes: 10 } : null);
    await assert.rejects(model(), /only 50 of 300000 bytes/);
    const [partial = ""] = await leftovers();
    await writeFile(join(cacheFolder, partial), Buffer.alloc(400_000));
    server.fault = () => null;
    await model();
  });

  it("throws other content away, and refuses it when it comes again", async () => {
    let lies = 1;
    server.fault = (request) => {
      if (!ofWeights(request) || lies === 0) return null;
      lies -= 1;
      return { kind: "otherBytes" };
    };
    await model();
    await rm(join(cacheFolder, "hub"), { recursive: true });
    lies = 2;
    await assert.rejects(model(), (error) => {
      assert.ok(error instanceof SetupProblem);
      assert.equal(error.kind, "wrong-hash");
      assert.match(error.message, /model\.safetensors from the hub: expected the hash/);
      return true;
    });
    assert.deepEqual(await leftovers(), []);
    server.fault = ({ path }) => (path.endsWith("vocab.txt") ? { kind: "otherBytes" } : null);
    await assert.rejects(model(), /vocab\.txt from the hub: expected the hash/);
  });

  it("waits as the hub asks at 429, and gives up on what does not pass", async () => {
    let busy = 3;
    server.fault = ({ origin }) => {
      if (origin !== "hub" || busy === 0) return null;
      busy -= 1;
      return { kind: "status", status: 429, headers: { "retry-after": "0" } };
    };
    await model();
    assert.equal(busy, 0);
    server.fault = () => ({ kind: "status", status: 429, headers: { "retry-after": "86400" } });
    server.requests.length = 0;
    await assert.rejects(resolveModel("owner/private", "main", access()), /429/);
    assert.equal(server.requests.length, 1);
    server.requests.length = 0;
    server.fault = () => ({ kind: "status", status: 502 });
    await assert.rejects(resolveModel("owner/private", "main", access()), /HTTP 502/);
    assert.equal(server.requests.length, 5);
  });

  it("sends the token to the hub only, and never says it", async () => {
    await model("owner/private", { HF_TOKEN: "hf_secret\n" });
    const sent = (origin: string): ReadonlySet<string | null> =>
      new Set(
        server.requests
          .filter((request) => request.origin === origin)
          .map(({ authorization }) => authorization),
      );
    assert.deepEqual(sent("hub"), new Set(["Bearer hf_secret"]));
    assert.deepEqual(sent("store"), new Set([null]));
    for (const HF_TOKEN of ["hf_wrong", "hf_\u0000bad", "hf wrong"]) {
      await assert.rejects(resolveModel("owner/private", "main", access({ HF_TOKEN })), (error) => {
        assert.ok(error instanceof BadInput);
        assert.ok(!error.message.includes(HF_TOKEN));
        return true;
      });
    }
  });

  it("says what to do about names that are wrong, private, gated or without safetensors", async () => {
    const cases = [
      [
        "owner/nothing",
        /--model: expected owner\/nothing, as the hub lets you read it.*set HF_TOKEN/,
      ],
      ["owner/private", /set HF_TOKEN/],
      ["owner/gated", /accept its conditions/],
      ["owner/pickled", /expected model\.safetensors, found only pytorch_model\.bin/],
      ["./nowhere", /expected a local folder/],
      ["a/b/c", /expected a local folder/],
    ] as const;
    for (const [name, message] of cases) {
      await assert.rejects(resolveModel(name, "main", access()), (error) => {
        assert.ok(error instanceof BadInput);
        assert.match(error.message, message);
        return true;
      });
    }
  });

  it("works from the cache without the hub, and says so; without a copy it says what to do", async () => {
    const folder = await model();
    const gone = await startHubServer({ repositories: new Map() });
    await gone.close();
    const offline = { HF_ENDPOINT: gone.url };
    assert.equal(await model("owner/tiny", offline), folder);
    assert.match(told.at(-1) ?? "", /ECONNREFUSED.*taken from the cache/);
    server.requests.length = 0;
    assert.equal(await model("owner/tiny", { HF_HUB_OFFLINE: "1" }), folder);
    assert.equal(server.requests.length, 0);
    await assert.rejects(resolveModel("owner/sharded", "main", access(offline)), (error) => {
      assert.ok(error instanceof SetupProblem);
      assert.match(
        error.message,
        /cannot reach the hub at http:\/\/127\.0\.0\.1:\d+ for owner\/sharded.*--model FOLDER/,
      );
      return true;
    });
  });

  it("breaks off a connection that is silent, and obeys the signal", async () => {
    server.fault = () => ({ kind: "silence" });
    const quick = { ...access(), silenceMs: 20 };
    await assert.rejects(resolveModel("owner/tiny", "main", quick), /no answer for 20 ms/);
    const stop = new AbortController();
    const asked = resolveModel("owner/tiny", "main", access({}, stop.signal));
    stop.abort(new Error("stopped"));
    await assert.rejects(asked, /stopped/);
  });

  it("refuses endless redirects, and an endpoint that is no address", async () => {
    server.fault = ({ origin }) =>
      origin === "hub" ? { kind: "redirect", location: "/again" } : null;
    await assert.rejects(resolveModel("owner/tiny", "main", access()), /more than 10 redirects/);
    await assert.rejects(
      resolveModel("owner/tiny", "main", access({ HF_ENDPOINT: "ftp://hub" })),
      /HF_ENDPOINT: expected an http\(s\) address/,
    );
  });
});
