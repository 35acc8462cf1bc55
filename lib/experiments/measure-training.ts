/** How long a training step takes: a few real steps of its recipe, times what the plan says. */
import { mkdir, readFile } from 'node:fs/promises'
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

/** Steps of each stage in a measurement; the first is left out of the time. */
const MEASURED_STEPS = 4

export interface MeasureOptions {
  /** Folder for the measurements; it is removed at the end. */
  folder: string
  threads?: number
  signal?: AbortSignal
  onProgress?: (line: string) => void
  /** Gets the numbers of each measurement of a training step. */
  onMeasured?: (job: TrainJob, found: JobNumbers) => void
}

/** The run folders that measurements left. */
export type MeasuredRuns = Map<Job, string>

export interface Measurement {
  /** Null: known when it has run once. */
  secondsPerRun: number | null
  from: string
}

/** The first run of a variant's training step. */
export async function measureTraining(
  job: TrainJob,
  measured: MeasuredRuns,
  options: MeasureOptions,
): Promise<Measurement> {
  const recipe = await startable(job, measured, options)
  const plan = planRun(recipe, await openRunData(recipe, { signal: options.signal, onProgress: options.onProgress }))
  const output = measurementPlace(job, options)
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

async function startable(job: TrainJob, measured: MeasuredRuns, options: MeasureOptions): Promise<ResolvedRecipe> {
  const { recipe } = job
  const place = await parentPlace(job, measured, options)
  if (place === undefined) return recipe
  const folder = await checkpointFolder(place)
  return { ...recipe, init: folder, ...(recipe.tokenizer === recipe.init && { tokenizer: folder }) }
}

/** What a job starts from, undefined where it has no parent. One that is not there yet is replaced by a few steps of it. */
export async function parentPlace(
  { parent, fromBest }: Job,
  measured: MeasuredRuns,
  options: MeasureOptions,
): Promise<string | undefined> {
  if (!parent) return undefined
  if (readResult(parent) && hasCheckpoint(parent)) return checkpointPlace(parent, fromBest)
  const there = measured.get(parent)
  if (there !== undefined || parent.kind !== 'train') return there
  const place = measurementPlace(parent, options)
  await fewSteps(await startable(parent, measured, options), place, options)
  measured.set(parent, place)
  return place
}

/** A warm-up that is longer than the measurement, of which pruning counts its pauses, has no place in it; a step takes as long without. */
function withoutWarmupSteps(schedule: ResolvedRecipe['schedule']): ResolvedRecipe['schedule'] {
  return { ...schedule, warmup: schedule.warmup < 1 ? schedule.warmup : 0 }
}

/** The recipe with as many steps in each of its stages as a measurement takes, and nothing beside them. */
export function withFewSteps(recipe: ResolvedRecipe): ResolvedRecipe {
  const { schedule, pruning, agreements } = recipe
  const few = { steps: MEASURED_STEPS }
  const shares = recipe.stages ? 1 : stagesOf(recipe).length
  return {
    ...recipe,
    ...(recipe.budget && { budget: { steps: MEASURED_STEPS * shares } }),
    ...(agreements && shares > 1 && { agreements: { ...agreements, budgetShare: 1 / shares } }),
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
}

async function fewSteps(recipe: ResolvedRecipe, output: string, options: MeasureOptions) {
  const short = withFewSteps(recipe)
  await mkdir(options.folder, { recursive: true })
  const file = `${output}.json`
  await replaceFile(file, JSON.stringify(short))
  const seconds = await timeCommand(['train', file, '--output', output, '--json'], output, options)
  const result = readJson<RunResult>(`${output}.out`)
  if (!result) throw new StrataError('NATIVE_ERROR', `measuring a step of ${recipe.name} gave no result`)
  return { result, seconds }
}

export function measurementPlace(job: Job, { folder }: MeasureOptions): string {
  return join(folder, job.id.slice(0, 12))
}

/** Seconds of a command of ours; what it prints goes to OUTPUT.out and OUTPUT.log. */
export async function timeCommand(
  args: string[],
  output: string,
  { threads, signal }: MeasureOptions,
): Promise<number> {
  const [stdout, stderr] = [`${output}.out`, `${output}.log`]
  const started = performance.now()
  const command = startOwnCommand(args, { stdout, stderr, threads })
  signal?.addEventListener('abort', command.stop)
  const { code } = await command.ended
  signal?.removeEventListener('abort', command.stop)
  if (code !== 0) {
    const said = (await readFile(stderr, 'utf8').catch(() => '')).trim().split('\n').slice(-3).join(' | ')
    throw new StrataError(signal?.aborted ? 'ABORTED' : 'NATIVE_ERROR', `measuring ${args[0]} failed: ${said}`)
  }
  return (performance.now() - started) / 1000
}
