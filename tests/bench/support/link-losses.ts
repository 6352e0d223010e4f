/** What a wire format or a communication hook does to learning: the loss after equal steps from the same weights on the same rows. */
import type { Network } from "../../support/network-hosts.ts";
import { placeOnHosts, trainOnHosts, type HostsJob } from "./hosts-run.ts";
import { tellProgress } from "./report.ts";
import { TrainPeer, type PeerHook } from "./train-peer.ts";

/** Where a contender's loss has got to. */
export interface EndLoss {
  readonly side: "ours" | "pytorch";
  /** Our wire format, or DDP's hook. */
  readonly form: string;
  /** Of the last step. */
  readonly loss: number;
  /** Mean over the last tenth of the steps: a single step's depends on its rows. */
  readonly meanLoss: number;
}

/** Who is compared. */
export interface LossJob extends HostsJob {
  readonly wires: readonly string[];
  readonly hooks: readonly PeerHook[];
}

function endOf(losses: readonly number[]): Pick<EndLoss, "loss" | "meanLoss"> {
  const last = losses.slice(-Math.ceil(losses.length / 10));
  const meanLoss = last.reduce((sum, loss) => sum + loss, 0) / last.length;
  return { loss: last.at(-1) ?? Number.NaN, meanLoss };
}

/** Trains each contender for as many steps at a constant learning rate, and gives where each one's loss ended. */
export async function lossesOf(
  network: Network,
  job: LossJob,
  steps: number,
): Promise<readonly EndLoss[]> {
  const found: EndLoss[] = [];
  const take = (side: EndLoss["side"], form: string, losses: readonly number[]): void => {
    if (losses.length !== steps) {
      throw new Error(`Cannot compare: ${form} has ${losses.length} of ${steps} losses`);
    }
    const end = { side, form, ...endOf(losses) };
    found.push(end);
    tellProgress(`loss of ${form}: ${end.loss.toFixed(4)}`);
  };
  const flags = ["--lr-scheduler-type", "constant"];
  for (const wire of job.wires) {
    const { losses } = await trainOnHosts(network, job, { wire, steps, flags });
    take("ours", wire, losses);
  }
  const { modelFolder, rows, tokens, precision, trainFile: rowsFile, threads } = job;
  for (const hook of job.hooks) {
    const peerJob = { modelFolder, rows, tokens, precision, hook, rowsFile };
    const place = placeOnHosts(network);
    const peer = await TrainPeer.start({ ...peerJob, worldSize: job.workers, place });
    try {
      take("pytorch", hook, await peer.losses(steps, threads));
    } finally {
      await peer.close();
    }
  }
  return found;
}
