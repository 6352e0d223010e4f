/** Names of the inputs that say where packed sequences lie: the first token of each, and the one after its last. */
export const sequenceInputs = { starts: "starts", ends: "ends" } as const;
