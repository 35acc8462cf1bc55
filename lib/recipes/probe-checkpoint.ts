import { type ProbeFigures, type ProbeOptions, type ProbeSets, probeModelFolder } from '../evaluation/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'

/**
 * Probes what each layer of a checkpoint, a run's newest whole checkpoint or a Hugging Face folder knows; the encoder stays as it is.
 * Throws NOT_FOUND or BAD_CHECKPOINT, BAD_ARGUMENT for a layer that the encoder lacks, BAD_DATA for a task that cannot be probed (one
 * class, fewer examples than classes), ABORTED, what a function in place of the tasks throws.
 */
export async function probeCheckpoint(
  checkpoint: string,
  sets: ProbeSets,
  options: ProbeOptions,
): Promise<ProbeFigures> {
  const { folder, warnings } = await resolveCheckpoint(checkpoint)
  warn(warnings)
  return probeModelFolder(folder, sets, options)
}
