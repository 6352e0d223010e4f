/**
 * A change to the packaged binding: it makes TensorFlow's session without options, and takes no argument for them. Ours
 * reads them from the environment, where TensorFlow's other settings are.
 */
/** Environment variable with TensorFlow's ConfigProto for sessions, as hexadecimal digits; none or empty: defaults. */
export const sessionConfigVariable = "RINGMASTER_SESSION_CONFIG";

const patchedFile = "tfjs_backend.cc";
const before = "  TF_SessionOptions *session_options = TF_NewSessionOptions();\n";
const after = `${before}
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
`;

/** The source as we compile it. Throws when the packaged source is not the one that the change is for. */
export function patchBindingSource<
  Source extends { readonly name: string; readonly content: Buffer },
>(source: Source): Source {
  if (source.name !== patchedFile) return source;
  const text = source.content.toString("utf8");
  if (text.split(before).length !== 2) {
    throw new Error(
      `Cannot change ${patchedFile}: expected one TF_NewSessionOptions() in LoadSavedModel`,
    );
  }
  return { ...source, content: Buffer.from(text.replace(before, after)) };
}
