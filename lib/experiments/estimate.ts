/** How long an experiment will take, from a few real steps of each variant. */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { median } from '../evaluation/index.js'
import {
  openRunData,
  penaltyOf,
  planRun,
  type ResolvedRecipe,
  type RunResult,
  searchesPenalty,
  stagesOf,
} from '../recipes/index.js'
import { METRICS_FILE, replaceFile, type TrainingEvent } from '../training/index.js'
import { checkpointFolder } from './checkpoint-folder.js'
import { hasCheckpoint } from './job-command.js'
import { readJson, readLines, readResult } from './job-folder.js'
import { startOwnCommand } from './own-command.js'
import { checkpointPlace, type Job, type TrainJob } from './plan.js'
import { type JobNumbers, readJobNumbers } from './read-results.js'

/** Steps of each measurement; the first is left out of the time. */
const MEASURED_STEPS = 4

export interface StepEstimate {
  variant: string
  step: string
  kind: Job['kind']
  /** Runs that are still to be done; those that are done. */
  missing: number
  done: number
  /** Of one run. Unknown (null) for a step that can only be told when it has run once. */
  secondsPerRun: number | null
  /** Where that is from: finished runs, or measured steps and what the plan says. */
  from: string
}

export interface Estimate {
  steps: StepEstimate[]
  missing: number
  /** Of the runs whose time is known. */
  seconds: number
  /** Runs whose time is not known. */
  unknown: number
}

export interface EstimateOptions {
  /** Folder for the measurements; it is removed at the end. */
  folder: string
  parallel: number
  threads?: number
  signal?: AbortSignal
  onProgress?: (line: string) => void
  /** Gets the numbers of each measurement. */
  onMeasured?: (job: TrainJob, found: JobNumbers) => void
}

/** Measures each variant's training steps that are not done yet, in child processes. */
export async function estimateJobs(jobs: readonly Job[], options: EstimateOptions): Promise<Estimate> {
  const groups = new Map<string, Job[]>()
  for (const job of jobs) {
    const key = JSON.stringify([job.variant, job.step])
    groups.set(key, [...(groups.get(key) ?? []), job])
  }
  const measured = new Map<Job, string>()
  const steps: StepEstimate[] = []
  try {
    for (const group of groups.values()) {
      const [first] = group
      const results = group.flatMap((job) => readResult(job) ?? [])
      const missing = group.length - results.length
      const common = { variant: first.variant, step: first.step, kind: first.kind, missing, done: results.length }
      if (missing === 0 || results.length > 0) {
        const secondsPerRun = median(results.map(({ commandSeconds }) => commandSeconds))
        steps.push({ ...common, secondsPerRun, from: `${results.length} finished runs` })
      } else if (first.kind !== 'train') {
        steps.push({ ...common, secondsPerRun: null, from: 'known when it has run once' })
      } else {
        options.onProgress?.(`measuring ${first.variant}, step ${first.step}`)
        steps.push({ ...common, ...(await measure(first, measured, options)) })
      }
    }
  } finally {
    await rm(options.folder, { recursive: true, force: true })
  }
  const sum = steps.reduce((total, { missing, secondsPerRun }) => total + missing * (secondsPerRun ?? 0), 0)
  return {
    steps,
    missing: steps.reduce((total, { missing }) => total + missing, 0),
    seconds: sum / options.parallel,
    unknown: steps.reduce((total, { missing, secondsPerRun }) => total + (secondsPerRun === null ? missing : 0), 0),
  }
}

async function measure(
  job: TrainJob,
  measured: Map<Job, string>,
  options: EstimateOptions,
): Promise<Pick<StepEstimate, 'secondsPerRun' | 'from'>> {
  const recipe = await startable(job, measured, options)
  const plan = planRun(recipe, await openRunData(recipe, { signal: options.signal, onProgress: options.onProgress }))
  const output = join(options.folder, job.id.slice(0, 12))
  const { result, seconds } = await fewSteps(recipe, output, options)
  measured.set(job, output)
  options.onMeasured?.(job, await readJobNumbers({ ...job, folder: output }, `${output}.out`, seconds))
  const events = await readLines<TrainingEvent>(join(output, METRICS_FILE))
  let total: number | null = 0
  const told: string[] = []
  plan.stages.forEach((stage, index) => {
    const own = events.filter((event) => 'stage' in event && event.stage === stage.name)
    const times = own.flatMap((event) => (event.type === 'step' ? event.millisecondsPerStep : []))
    const step = median(times.slice(times.length > 1 ? 1 : 0)) / 1000
    const evaluation = median(own.flatMap((event) => (event.type === 'evaluation' ? event.seconds : []))) || 0
    const { hours } = stagesOf(recipe)[index].budget
    const evaluations = evaluationCount(recipe, stage.steps, stage.epochs)
    const training = hours !== undefined ? hours * 3600 : stage.steps === null ? null : stage.steps * step
    const scoring = hours === undefined ? evaluations * evaluation : 0
    const searching = index === 0 ? searchShare(recipe) : 0
    total = total === null || training === null ? null : total + (1 + searching) * training + scoring
    const amount = hours !== undefined ? `${hours} hours` : `${stage.steps ?? 'an unknown number of'} steps`
    told.push(
      `${plan.stages.length > 1 ? `${stage.name}: ` : ''}${amount} of ${(1000 * step).toFixed(0)} ms, ${evaluations} evaluations of ${evaluation.toFixed(1)} s${searching > 0 ? `, up to ${searching} times these steps to find the penalty of pruning` : ''}`,
    )
  })
  const start = Math.max(0, seconds - result.state.elapsedSeconds)
  return {
    secondsPerRun: total === null ? null : total + start,
    from: `${MEASURED_STEPS} measured steps: ${told.join('; ')}; start ${start.toFixed(1)} s`,
  }
}

/** What the search for a penalty trains at most, in budgets of the first stage. */
function searchShare({ pruning }: ResolvedRecipe): number {
  return searchesPenalty(pruning) ? pruning.search.runs * pruning.search.share : 0
}

function evaluationCount({ evaluation }: ResolvedRecipe, steps: number | null, epochs: number | null): number {
  // Every stage ends with one, be it a turn or not.
  const before = (amount: number | null, every: number) =>
    every > 0 ? Math.max(0, Math.ceil((amount ?? 0) / every - 1e-9) - 1) : 0
  return before(steps, evaluation.everySteps) + before(epochs, evaluation.everyEpochs) + 1
}

/** A run that starts from one that is not there yet starts from that one's measurement. */
async function startable(job: TrainJob, measured: Map<Job, string>, options: EstimateOptions): Promise<ResolvedRecipe> {
  const { recipe, parent } = job
  if (!parent) return recipe
  let place = readResult(parent) && hasCheckpoint(parent) ? checkpointPlace(parent, job.fromBest) : measured.get(parent)
  if (place === undefined && parent.kind === 'train') {
    place = join(options.folder, parent.id.slice(0, 12))
    await fewSteps(await startable(parent, measured, options), place, options)
    measured.set(parent, place)
  }
  const folder = await checkpointFolder(place!)
  return { ...recipe, init: folder, ...(recipe.tokenizer === recipe.init && { tokenizer: folder }) }
}

/** A warm-up that is longer than the measurement, of which pruning counts its pauses, has no place in it; a step takes as long without. */
function withoutWarmupSteps(schedule: ResolvedRecipe['schedule']): ResolvedRecipe['schedule'] {
  return { ...schedule, warmup: schedule.warmup < 1 ? schedule.warmup : 0 }
}

async function fewSteps(recipe: ResolvedRecipe, output: string, { folder, threads, signal }: EstimateOptions) {
  await mkdir(folder, { recursive: true })
  const few = { steps: MEASURED_STEPS }
  const { schedule, pruning } = recipe
  const short = {
    ...recipe,
    ...(recipe.budget && { budget: few }),
    schedule: withoutWarmupSteps(schedule),
    ...(recipe.stages && {
      stages: recipe.stages.map((stage) => ({
        ...stage,
        budget: few,
        ...(stage.schedule && { schedule: withoutWarmupSteps(stage.schedule) }),
      })),
    }),
    ...(searchesPenalty(pruning) && { pruning: { ...pruning, penalty: penaltyOf(pruning) } }),
    evaluation: { ...recipe.evaluation, everySteps: 0, everyEpochs: 0 },
    checkpoint: { everySteps: 0, keep: 1, keepStages: recipe.checkpoint.keepStages },
    log: { everySteps: 1 },
    earlyStopping: undefined,
  }
  const [file, stdout, stderr] = ['json', 'out', 'log'].map((end) => `${output}.${end}`)
  await replaceFile(file, JSON.stringify(short))
  const started = performance.now()
  const command = startOwnCommand(['train', file, '--output', output, '--json'], { stdout, stderr, threads })
  signal?.addEventListener('abort', command.stop)
  const { code } = await command.ended
  signal?.removeEventListener('abort', command.stop)
  const result = readJson<RunResult>(stdout)
  if (code !== 0 || !result) {
    const said = (await readFile(stderr, 'utf8').catch(() => '')).trim().split('\n').slice(-3).join(' | ')
    throw new StrataError(
      signal?.aborted ? 'ABORTED' : 'NATIVE_ERROR',
      `measuring a step of ${recipe.name} failed: ${said}`,
    )
  }
  return { result, seconds: (performance.now() - started) / 1000 }
}
