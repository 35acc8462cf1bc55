/** What a run's log says of the gradients that reached each layer. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileError } from '../errors.js'
import type { EventOf } from './events.js'
import { METRICS_FILE } from './run-files.js'

/**
 * Norms by layer after a stage's first or last step: `0` embeddings, `1` … `L` blocks, `heads`; before clipping. As in the log: one
 * that is not finite stands as its name.
 */
export type GradientReading = Pick<EventOf<'gradients'>, 'step' | 'stage'> & {
  gradientNorms: Record<string, number | string>
}

/** The readings up to the step of a checkpoint folder `RUN/checkpoints/step-N`; none where it lies in no run. */
export async function readGradientNorms(checkpoint: string, step: number): Promise<GradientReading[]> {
  const path = join(dirname(dirname(checkpoint)), METRICS_FILE)
  if (!existsSync(path)) return []
  const text = await readFile(path, 'utf8').catch((error) => {
    throw fileError(error, path, "read the run's metrics")
  })
  return text
    .split('\n')
    .filter((line) => line.startsWith('{"type":"gradients"'))
    .flatMap((line) => parsed(line) ?? [])
    .filter((reading) => reading.step <= step)
    .map(({ step, stage, gradientNorms }) => ({ step, stage, gradientNorms }))
}

/** The last line may be cut short by a kill, or be on its way. */
function parsed(line: string): GradientReading | undefined {
  try {
    return JSON.parse(line) as GradientReading
  } catch {
    return undefined
  }
}
