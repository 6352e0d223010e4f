/**
 * Changes to the packaged binding. It makes TensorFlow's session without options, and takes no argument for them: ours
 * reads them from the environment, where TensorFlow's other settings are. It runs sessions without traces: ours asks
 * `worker/engine/native/run_trace.h` whether the run at hand is to be traced, and exports the two calls of that header
 * and those of `release_memory.h`.
 */
/** Environment variable with TensorFlow's ConfigProto for sessions, as hexadecimal digits; none or empty: defaults. */
export const sessionConfigVariable = "RINGMASTER_SESSION_CONFIG";

/** One change of one packaged file. */
interface Change {
  readonly file: string;
  /** What stands there once. */
  readonly before: string;
  readonly after: string;
}

const sessionOptions = "  TF_SessionOptions *session_options = TF_NewSessionOptions();\n";
const backendInclude = '#include "tfjs_backend.h"\n';
const runWithoutTrace = "  TF_SessionRun(savedmodel_entry->second.first, nullptr, inputs.data(),\n";
const noMetadata = "                nullptr, tf_status.status);\n";
const lastExport = `      {"getNumOfTensors", nullptr, GetNumOfTensors, nullptr, nullptr,
       nullptr, napi_default, nullptr},
`;

const changes: readonly Change[] = [
  {
    file: "tfjs_backend.cc",
    before: sessionOptions,
    after: `${sessionOptions}
  if (const char *digits = getenv("${sessionConfigVariable}")) {
    std::string config;
    for (; digits[0] != 0 && digits[1] != 0; digits += 2) {
      const char byte[3] = {digits[0], digits[1], 0};
      config.push_back(static_cast<char>(strtol(byte, nullptr, 16)));
    }
    TF_AutoStatus config_status;
    TF_SetConfig(session_options, config.data(), config.size(), config_status.status);
    if (TF_GetCode(config_status.status) != TF_OK) {
      TF_DeleteSessionOptions(session_options);
      NAPI_THROW_ERROR(env, "Failed to read ${sessionConfigVariable}: %s",
                       TF_Message(config_status.status));
      return nullptr;
    }
  }
`,
  },
  {
    file: "tfjs_backend.cc",
    before: backendInclude,
    after: `${backendInclude}#include "run_trace.h"\n`,
  },
  {
    file: "tfjs_backend.cc",
    before: runWithoutTrace,
    after: `  const ringmaster::RunTrace trace;\n${runWithoutTrace.replace("nullptr", "trace.options()")}`,
  },
  {
    file: "tfjs_backend.cc",
    before: noMetadata,
    after: noMetadata.replace("nullptr", "trace.metadata()"),
  },
  {
    file: "tfjs_binding.cc",
    before: backendInclude,
    after: `${backendInclude}#include "release_memory.h"\n#include "run_trace.h"\n`,
  },
  {
    file: "tfjs_binding.cc",
    before: lastExport,
    after: `${lastExport}      {"traceNextRun", nullptr, ringmaster::TraceNextRun, nullptr, nullptr,
       nullptr, napi_default, nullptr},
      {"takeRunTrace", nullptr, ringmaster::TakeRunTrace, nullptr, nullptr,
       nullptr, napi_default, nullptr},
      {"releaseMemory", nullptr, ringmaster::ReleaseMemory, nullptr, nullptr,
       nullptr, napi_default, nullptr},
      {"releasePages", nullptr, ringmaster::ReleasePages, nullptr, nullptr,
       nullptr, napi_default, nullptr},
`,
  },
];

/** The source as we compile it. Throws when the packaged source is not the one that the changes are for. */
export function patchBindingSource<
  Source extends { readonly name: string; readonly content: Buffer },
>(source: Source): Source {
  const own = changes.filter(({ file }) => file === source.name);
  if (own.length === 0) return source;
  const text = own.reduce((patched, { file, before, after }) => {
    if (patched.split(before).length !== 2) {
      throw new Error(`Cannot change ${file}: expected once ${before.trim()}`);
    }
    return patched.replace(before, () => after);
  }, source.content.toString("utf8"));
  return { ...source, content: Buffer.from(text) };
}
