/** The systems that TensorFlow 2.21's wheels exist for, and what their libraries are called. */
import { SetupProblem } from "./setup-problem.ts";

/** Operating system and processor, as node names them. Only `linux-x64` is tested. */
export type Platform = "linux-x64" | "linux-arm64" | "darwin-arm64";

/** Systems on which the whole test suite runs. */
export const testedPlatforms: readonly Platform[] = ["linux-x64"];

/** This machine's system; anything without a wheel is refused, musl included. */
export function currentPlatform(): Platform {
  const name = `${process.platform}-${process.arch}`;
  if (name === "linux-x64" || name === "linux-arm64" || name === "darwin-arm64") return name;
  throw new SetupProblem(
    "platform",
    `there is no TensorFlow 2.21 wheel for ${name}`,
    "it exists for linux-x64, linux-arm64 and darwin-arm64",
  );
}

/** Refuses a Linux without glibc (Alpine): no wheel of TensorFlow runs there. Slow (reads the process report). */
export function checkGlibc(platform: Platform): void {
  if (platform === "darwin-arm64") return;
  const report = process.report.getReport();
  const header = "header" in report ? report.header : undefined;
  const isGlibc = typeof header === "object" && header !== null && "glibcVersionRuntime" in header;
  if (!isGlibc) {
    throw new SetupProblem(
      "platform",
      "TensorFlow's wheels need glibc, this system has another C library",
      "use an image based on Debian, Ubuntu or Fedora",
    );
  }
}

/** Names of TensorFlow's two libraries inside the wheel's `tensorflow` folder. */
export function tensorflowLibraries(platform: Platform): readonly [string, string] {
  return platform === "darwin-arm64"
    ? ["libtensorflow_cc.2.dylib", "libtensorflow_framework.2.dylib"]
    : ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];
}

/** The linker's name for the folder of the library that is being loaded. */
export function loaderFolder(platform: Platform): string {
  return platform === "darwin-arm64" ? "@loader_path" : "$ORIGIN";
}
