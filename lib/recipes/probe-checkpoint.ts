import { type ProbeFigures, type ProbeOptions, probeModelFolder } from '../evaluation/index.js'
import type { ProbeSet } from '../tasks/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'

/**
 * Probes what each layer of a checkpoint, a run's newest whole checkpoint or a Hugging Face folder knows; the encoder stays as it is.
 * Throws NOT_FOUND or BAD_CHECKPOINT, BAD_ARGUMENT for a layer that the encoder lacks, BAD_DATA for a task that cannot be probed (one
 * class, fewer examples than classes), ABORTED.
 */
export async function probeCheckpoint(
  checkpoint: string,
  sets: readonly ProbeSet[],
  options: ProbeOptions,
): Promise<ProbeFigures> {
  const { folder, warnings } = await resolveCheckpoint(checkpoint)
  warn(warnings)
  return probeModelFolder(folder, sets, options)
}
