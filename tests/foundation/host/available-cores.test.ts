/** Limits of control groups, as containers and services have them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { availableCores, cgroupCores } from "../../../foundation/host/available-cores.ts";

function reading(files: Readonly<Record<string, string>>) {
  return (file: string): string | null => files[file] ?? null;
}

const cases = [
  { name: "no control groups", files: {}, limit: null, cores: 8 },
  {
    name: "version 2 without a limit",
    files: { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n" },
    limit: null,
    cores: 8,
  },
  {
    name: "a container of 1.5 CPUs, version 2",
    files: { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n" },
    limit: 1.5,
    cores: 2,
  },
  {
    name: "a service below a slice with the smaller limit",
    files: {
      "/proc/self/cgroup": "0::/a.slice/b.service\n",
      "/sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n",
      "/sys/fs/cgroup/a.slice/b.service/cpu.max": "400000 100000\n",
    },
    limit: 2,
    cores: 2,
  },
  {
    name: "a container of half a CPU, version 1, with the host's path",
    files: {
      "/proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    },
    limit: 0.5,
    cores: 1,
  },
  {
    name: "version 1 without a limit, its controller in a folder of its own",
    files: {
      "/proc/self/cgroup": "1:cpu:/\n0::/\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    limit: null,
    cores: 8,
  },
  {
    name: "a limit above the cores",
    files: { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "1600000 100000\n" },
    limit: 16,
    cores: 8,
  },
];

describe("available cores", () => {
  for (const { name, files, limit, cores } of cases) {
    it(name, () => {
      assert.equal(cgroupCores(reading(files)), limit);
      assert.equal(availableCores(8, reading(files)), cores);
    });
  }
});
