/** Which runs an experiment needs: every step of every variant with every seed, equal ones once. */
import { resolve } from 'node:path'
import { StrataError } from '../errors.js'
import { isValues, mergeValues, openRecipe, type ResolvedRecipe, stagesOf, type Values } from '../recipes/index.js'
import { checkpointFolder } from './checkpoint-folder.js'
import { earlierId } from './earlier-runs.js'
import { Fingerprints, hashOf } from './fingerprint.js'
import { endsInId, type FolderNames, jobFolder } from './job-folder.js'
import { type LoadedExperiment, SEED, stringsOf } from './load-experiment.js'
import type { ExperimentStep } from './schema.js'
import { joinOverlays, undotted } from './settings.js'
import { trainId } from './train-id.js'
import { fillVariables } from './variables.js'

interface JobBase {
  /** SHA-256 of all that its result follows from; of a run that an earlier version made, what that version said. */
  id: string
  /** Variant, step and seed that need it first. */
  variant: string
  step: string
  seed: number
  /** Where it writes. */
  folder: string
  /** Job whose checkpoint it starts from. */
  parent?: Job
  /** Takes the best checkpoint of the parent. */
  fromBest: boolean
}

export interface TrainJob extends JobBase {
  kind: 'train'
  /** With `parent`, `init` and `tokenizer` are its run folder until it is there. */
  recipe: ResolvedRecipe
}

export interface CheckpointJob extends JobBase {
  kind: 'evaluate' | 'probe'
  /** Checkpoint to look at where there is no parent. */
  init?: string
  tasks: string[]
  data: Values
  options: Record<string, string | number | boolean>
  predictions: boolean
}

export type Job = TrainJob | CheckpointJob

export interface ExperimentPlan {
  /** In the order in which they are run: all variants with the first seed, then with the next. */
  jobs: Job[]
  /** The jobs by variant, seed and step. */
  runs: { variant: string; seed: number; jobs: Record<string, Job> }[]
  /** What a reader of the table should know: budgets that differ. */
  notes: string[]
}

/** Resolves every run. Throws BAD_RECIPE, NOT_FOUND … naming variant and step. `names` finds the folders that there are. */
export async function planExperiment(experiment: LoadedExperiment, names: FolderNames): Promise<ExperimentPlan> {
  const fingerprints = new Fingerprints()
  const jobs = new Map<string, Job>()
  const runs: ExperimentPlan['runs'] = []
  for (const seed of experiment.seeds) {
    for (const variant of Object.keys(experiment.variants)) {
      const own: Record<string, Job> = {}
      for (const step of Object.keys(experiment.steps)) {
        try {
          const job = await planJob(experiment, { variant, step, seed }, own, fingerprints, names)
          if (!jobs.has(job.id)) jobs.set(job.id, job)
          own[step] = jobs.get(job.id)!
        } catch (error) {
          if (!(error instanceof StrataError)) throw error
          const message = `${experiment.label}: variant ${variant}, step ${step}: ${error.message}`
          throw new StrataError(error.code, message, { cause: error, details: error.details })
        }
      }
      runs.push({ variant, seed, jobs: own })
    }
  }
  return { jobs: [...jobs.values()], runs, notes: budgetNotes(experiment, runs) }
}

interface Place {
  variant: string
  step: string
  seed: number
}

async function planJob(
  experiment: LoadedExperiment,
  place: Place,
  before: Readonly<Record<string, Job>>,
  fingerprints: Fingerprints,
  names: FolderNames,
): Promise<Job> {
  const { variant: variantName, step: stepName } = place
  const variables = variablesOf(experiment, place)
  const variant = fillVariables(experiment.variants[variantName], variables)
  const step = fillVariables(experiment.steps[stepName], variables)
  const own = variant.steps[stepName] ?? {}
  const whole = { ...step, ...defined(own) } as ExperimentStep
  const seed = whole.seed ?? place.seed
  const parent = whole.from === undefined ? undefined : before[whole.from]
  const base = { variant: variantName, step: stepName, seed, fromBest: whole.fromBest ?? false, parent }
  const data = dataOf([step, own])
  if (whole.kind !== 'train') {
    if (parent === undefined && whole.init === undefined)
      throw new StrataError(
        'BAD_RECIPE',
        'has no checkpoint to look at, expected from (an earlier step) or init (a folder)',
      )
    const settings = {
      kind: whole.kind,
      ...(whole.init !== undefined && { init: resolve(whole.init) }),
      tasks: whole.tasks ?? [],
      options: { ...step.options, ...own.options },
      predictions: whole.predictions ?? false,
    }
    const task = onlyTask({ ...settings, ...base })
    const checkpoint = parent ? undefined : await checkpointFolder(settings.init!, task)
    // A probe draws its start from the seed; an evaluation draws nothing.
    const drawn = whole.kind === 'probe' ? seed : undefined
    // An earlier version took the newest checkpoint for every task: what it found of such runs does not count.
    const taken = task !== undefined && hasStages(parent) ? { checkpoint: 'own' } : {}
    const idBy = async (files: Fingerprints) => {
      const start = parent?.id ?? (await files.ofPath(checkpoint!))
      const slots = Object.entries(data).map(async ([slot, value]) => [slot, await files.ofSlot(value)] as const)
      const content = Object.fromEntries(await Promise.all(slots))
      return hashOf([settings, { init: start, best: base.fromBest, data: content, seed: drawn, ...taken }])
    }
    const id = await idThatIsThere(names, await idBy(fingerprints), () => idBy(fingerprints.earlier))
    return { ...base, ...settings, data, id, folder: jobFolder(names, base, id) }
  }
  const common = fillVariables(experiment.common, variables)
  // What holds for all, for the step, for the variant, for the step of the variant.
  const layers = [{ ...common, budget: common.budget ?? experiment.budget }, step, variant, own]
  const recipe = await resolveJobRecipe(layers, { ...base, data: dataOf(layers) })
  const asked = await trainId(recipe, base, fingerprints)
  const id = await idThatIsThere(names, asked, () => earlierId(names, base, recipe, asked, fingerprints))
  return { ...base, kind: 'train', recipe, id, folder: jobFolder(names, base, id) }
}

/** The id of today's version, unless an earlier one made the run. */
async function idThatIsThere(
  { existing }: FolderNames,
  asked: string,
  findEarlier: () => Promise<string | undefined>,
): Promise<string> {
  const isThere = (id: string) => existing.some((name) => endsInId(name, id))
  if (existing.length === 0 || isThere(asked)) return asked
  const earlier = await findEarlier()
  return earlier !== undefined && isThere(earlier) ? earlier : asked
}

/** What `${name}` stands for in the settings and measures of one run. */
export function variablesOf(
  { paths, variants }: LoadedExperiment,
  { variant, seed }: { variant: string; seed: number },
): Record<string, string> {
  return { ...paths, ...stringsOf(variants[variant].variables), [SEED]: String(seed) }
}

type Layer = Partial<Pick<ExperimentStep, 'recipe' | 'set' | 'data' | 'init' | 'budget'>>

async function resolveJobRecipe(
  layers: readonly Layer[],
  { parent, fromBest, seed, data }: { parent?: Job; fromBest: boolean; seed: number; data: Values },
): Promise<ResolvedRecipe> {
  const last = <Key extends keyof Layer>(key: Key): Layer[Key] =>
    layers.findLast((layer) => layer[key] !== undefined)?.[key]
  const name = last('recipe')
  if (name === undefined)
    throw new StrataError(
      'BAD_RECIPE',
      'recipe is missing, expected a recipe name or file in common, the step or the variant',
    )
  let overlay: Values = {}
  for (const { budget, set } of layers) {
    if (budget !== undefined) overlay.budget = budget
    if (set !== undefined) overlay = joinOverlays(overlay, undotted(set))
  }
  overlay = joinOverlays(overlay, { seed, ...(Object.keys(data).length > 0 && { data }) })
  const init = parent ? checkpointPlace(parent, fromBest) : last('init')
  if (init !== undefined) overlay.init = init
  // The parent may not have been run: its recipe tells the shape of what will be there.
  const resumed = parent?.kind === 'train' ? { ...parent.recipe, init: resolve(init!) } : undefined
  return openRecipe(name, { overlay, resumed })
}

/** A run folder stands for its newest checkpoint. */
export function checkpointPlace(parent: Job, best: boolean): string {
  return best ? resolve(parent.folder, 'best') : parent.folder
}

/** The task that an evaluation asks for alone: of a run with stages it is scored by its own checkpoint. */
export function onlyTask({
  kind,
  tasks,
  fromBest,
}: Pick<CheckpointJob, 'kind' | 'tasks' | 'fromBest'>): string | undefined {
  return kind === 'evaluate' && tasks.length === 1 && !fromBest ? tasks[0] : undefined
}

/** Its stages may end with checkpoints of different tasks. */
export function hasStages(job: Job | undefined): boolean {
  return job?.kind === 'train' && stagesOf(job.recipe).length > 1
}

function dataOf(layers: readonly Layer[]): Values {
  return layers.reduce((joined, { data }) => (isValues(data) ? mergeValues(joined, data) : joined), {} as Values)
}

function defined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Partial<T>
}

/** Variants are to be compared at equal budgets; where they are not, the table says so. */
function budgetNotes({ baseline, variants }: LoadedExperiment, runs: ExperimentPlan['runs']): string[] {
  const budgetOf = ({ jobs }: ExperimentPlan['runs'][number], step: string) => {
    const job = jobs[step]
    if (job?.kind !== 'train') return ''
    const { budget, stages } = job.recipe
    return JSON.stringify(stages ? stages.map((stage) => stage.budget) : budget)
  }
  const notes = new Set<string>()
  for (const run of runs) {
    const { against = baseline } = variants[run.variant]
    const reference = runs.find(({ variant }) => variant === against)!
    for (const step of Object.keys(run.jobs)) {
      const [own, other] = [budgetOf(run, step), budgetOf(reference, step)]
      if (own !== other) notes.add(`budget of ${run.variant}, step ${step}: ${own}; of ${against}: ${other}`)
    }
  }
  return [...notes]
}
