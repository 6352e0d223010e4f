/** The part of WebAssembly that is used here; TypeScript knows it only together with the whole DOM. */
declare namespace WebAssembly {
  interface MemoryOptions {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }
  class Memory {
    constructor(options: MemoryOptions);
    readonly buffer: SharedArrayBuffer;
    /** Grows by pages of 64 KiB; returns the former count of pages. */
    grow(pages: number): number;
  }
  class Module {
    constructor(bytes: Uint8Array);
  }
  type Exports = Readonly<Record<string, unknown>>;
  class Instance {
    constructor(
      module: Module,
      imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    );
    readonly exports: Exports;
  }
}
