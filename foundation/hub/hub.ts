/** tmp */
import type { HubAccess } from "./hub-access.ts";
export type { HubAccess };
/** tmp */
export interface HubDataset {
  readonly train: readonly string[];
  readonly validation: readonly string[];
  readonly test: readonly string[];
  readonly notes: readonly string[];
}
/** tmp */
export function resolveDataset(name: string, _access: HubAccess): Promise<HubDataset> {
  return Promise.reject(new Error(name));
}
