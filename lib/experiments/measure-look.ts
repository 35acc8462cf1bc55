/** How long a step takes that looks at a checkpoint: probes that are built small, an evaluation as it is. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import type { ProbeReport } from '../evaluation/index.js'
import { DEFAULT_PROBE_SIZES } from '../tasks/index.js'
import { checkpointFolder } from './checkpoint-folder.js'
import { checkpointArguments, PROBES_FILE } from './job-command.js'
import { readJson } from './job-folder.js'
import {
  type MeasuredRuns,
  type Measurement,
  type MeasureOptions,
  measurementPlace,
  parentPlace,
  timeCommand,
} from './measure-training.js'
import { type CheckpointJob, onlyTask } from './plan.js'

/** A measured probe has this part of the examples. */
const PROBE_PART = 1 / 10

/** The first run of a variant's evaluation or probe. */
export async function measureLook(
  job: CheckpointJob,
  measured: MeasuredRuns,
  options: MeasureOptions,
): Promise<Measurement> {
  if (job.kind === 'probe' && (job.data.probes !== undefined || job.data.senteval !== undefined))
    return { secondsPerRun: null, from: 'probing sets that are ready cannot be cut: known when it has run once' }
  const place = (await parentPlace(job, measured, options)) ?? job.init!
  const output = measurementPlace(job, options)
  await mkdir(output, { recursive: true })
  const checkpoint = onlyTask(job) === undefined ? await checkpointFolder(place) : place
  if (job.kind === 'evaluate') {
    const seconds = await timeCommand(checkpointArguments({ ...job, folder: output }, checkpoint), output, options)
    return { secondsPerRun: seconds, from: 'one whole evaluation' }
  }
  const { train, dev, test } = { ...DEFAULT_PROBE_SIZES, ...job.options }
  const [fewTrain, fewDev, fewTest] = [train, dev, test].map((count) => Math.ceil(Number(count) * PROBE_PART))
  const small = { ...job.options, train: fewTrain, dev: fewDev, test: fewTest }
  let seconds: number
  try {
    seconds = await timeCommand(
      checkpointArguments({ ...job, folder: output, options: small }, checkpoint),
      output,
      options,
    )
  } catch (error) {
    // A tenth may be too few for a task's classes where all of them are enough.
    if (!(error instanceof StrataError) || error.code === 'ABORTED') throw error
    return { secondsPerRun: null, from: `known when it has run once: ${error.message}` }
  }
  const report = readJson<Pick<ProbeReport, 'cost'>>(join(output, PROBES_FILE))
  if (!report) throw new StrataError('NATIVE_ERROR', `measuring ${job.step} gave no ${PROBES_FILE}`)
  const { encoder, randomEncoder, classifiers } = report.cost.seconds
  const [growing, start] = [encoder + randomEncoder + classifiers, seconds - encoder - randomEncoder - classifiers]
  return {
    secondsPerRun: start + growing / PROBE_PART,
    from: `probes of a tenth of the examples took ${growing.toFixed(1)} s, ten times that for all; start ${start.toFixed(1)} s`,
  }
}
