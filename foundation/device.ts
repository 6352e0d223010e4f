/**
 * What the kind of device that computes decides. Which GPU a worker takes is `host/graphics-cards.ts`'s, which TensorFlow is fetched
 * `native/pins.ts`'s. Pure.
 */

/** What computes. */
export type Device = "cpu" | "gpu";

/** What is different from one device to the other. */
export interface DeviceTraits {
  /** Kernels of our own compute, and what only they can: sequences without padding, products in one order, the update of a share. */
  readonly hasKernels: boolean;
  /** TensorFlow computes in the memory of what it is fed. */
  readonly sharesMemory: boolean;
  /** Workers of one machine share what computes, so that more of them may be faster than one. */
  readonly isSharedByWorkers: boolean;
  /** TensorFlow runs one op at a time: on a CPU each op has all threads already. */
  readonly runsOneOpAtATime: boolean;
  /** Products of 16-bit floats are fast, whatever the processor is. */
  readonly isMadeForNarrowFloats: boolean;
}

const traits: Readonly<Record<Device, DeviceTraits>> = {
  cpu: {
    hasKernels: true,
    sharesMemory: true,
    isSharedByWorkers: true,
    runsOneOpAtATime: true,
    isMadeForNarrowFloats: false,
  },
  gpu: {
    hasKernels: false,
    sharesMemory: false,
    isSharedByWorkers: false,
    runsOneOpAtATime: false,
    isMadeForNarrowFloats: true,
  },
};

/** What a device decides. */
export function traitsOf(device: Device): DeviceTraits {
  return traits[device];
}

/** What the loaded TensorFlow computes on. */
export function deviceInUse(binding: { isUsingGpuDevice(): boolean }): Device {
  return binding.isUsingGpuDevice() ? "gpu" : "cpu";
}
