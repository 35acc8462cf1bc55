/** An experiment from a file or a value: checked, with every `${name}` known. */
import {
  type Locate,
  loadSettingsFile,
  nearest,
  type RecipeProblem,
  recipeError,
  schemaProblems,
} from '../recipes/index.js'
import { type Experiment, type ExperimentStep, experimentSchema } from './schema.js'
import { fillVariables, missingVariables, variablesIn } from './variables.js'

/** One measure, with nothing left open. Its value may hold `${name}` of a variant. */
export interface Measure {
  name: string
  step: string
  value: string
  stage?: string
  better: 'higher' | 'lower'
  reference: number[]
  convergence: boolean
  tested: boolean
}

export interface LoadedExperiment extends Omit<Experiment, 'seeds' | 'measures' | 'learned' | 'baseline'> {
  seeds: number[]
  baseline: string
  measures: Measure[]
  learned: (Experiment['learned'][number] & { step: string })[]
  /** Name of the file, for messages. */
  label: string
}

/** Loads a file or takes a value. `paths` are those of `--data`. Throws BAD_RECIPE with every problem found. */
export async function loadExperiment(
  fileOrValue: string | object,
  paths: Readonly<Record<string, string>> = {},
): Promise<LoadedExperiment> {
  const source: { values: unknown; label: string; locate?: Locate } =
    typeof fileOrValue === 'string'
      ? await loadSettingsFile(fileOrValue, 'experiment')
      : { values: fileOrValue, label: 'experiment' }
  const { label, locate } = source
  const parsed = experimentSchema.safeParse(source.values)
  if (!parsed.success) throw recipeError(schemaProblems(parsed.error, experimentSchema, source.values, locate), label)
  const written = parsed.data
  const problems = crossProblems(written, paths)
  if (problems.length > 0) throw recipeError(located(problems, locate), label)

  const known = { ...written.paths, ...paths }
  const { variants, measures, ...rest } = written
  const shared = onlyPaths(rest, known)
  const filled = Object.entries(variants).map(([name, variant]): [string, typeof variant] => {
    const own = { ...known, ...stringsOf(variant.variables) }
    return [name, onlyPaths(variant, own)]
  })
  const steps = Object.keys(shared.steps)
  return {
    ...shared,
    paths: known,
    label,
    variants: Object.fromEntries(filled),
    seeds: seedsOf(written),
    baseline: written.baseline ?? Object.keys(variants)[0],
    measures: measures.map((measure) => wholeMeasure(measure, steps[0])),
    learned: written.learned.map((criterion) => ({ ...criterion, step: criterion.step ?? steps[0] })),
  }
}

/** Variables of a variant and `${seed}` may stand in common settings and steps as well; they stay there until a run is resolved. */
function onlyPaths<T>(value: T, known: Readonly<Record<string, string>>): T {
  const later = [...variablesIn(value).keys()].filter((name) => !(name in known))
  const kept = Object.fromEntries(later.map((name) => [name, `\${${name}}`]))
  return fillVariables(value, { ...known, ...kept })
}

export function stringsOf(variables: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).map(([key, value]) => [key, String(value)]))
}

function seedsOf({ seeds }: Experiment): number[] {
  return typeof seeds === 'number' ? Array.from({ length: seeds }, (_, index) => index + 1) : seeds
}

/** What a run costs. */
export const COSTS = [
  'seconds',
  'secondsPerStep',
  'tokensPerSecond',
  'steps',
  'tokens',
  'parameters',
  'trainedParameters',
  'density',
  'memoryBytes',
]
/** Numbers of which less is better, when the measure does not say. */
const LOWER =
  /(^|\.)(loss|[a-z]\w*Loss|perplexity|seconds|secondsPerStep|steps|tokens|parameters|trainedParameters|density|memoryBytes)$/

function wholeMeasure(measure: Experiment['measures'][number], onlyStep: string): Measure {
  const { reference, ...own } = typeof measure === 'string' ? { value: measure, convergence: false } : measure
  return {
    ...own,
    name: own.name ?? own.value,
    step: own.step ?? onlyStep,
    better: own.better ?? (LOWER.test(own.value) ? 'lower' : 'higher'),
    reference: [reference ?? []].flat(),
    tested: own.tested ?? !COSTS.includes(own.value),
  }
}

function located(problems: RecipeProblem[], locate?: Locate): RecipeProblem[] {
  return problems.map(({ key, message }) => {
    const place = locate?.(key.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part)))
    return { key, message: place ? `${message} (${place})` : message }
  })
}

/** Checks across keys. */
function crossProblems(experiment: Experiment, paths: Readonly<Record<string, string>>): RecipeProblem[] {
  const { steps, variants, measures, overviews, learned, baseline } = experiment
  const problems: RecipeProblem[] = []
  const add = (key: string, message: string) => void problems.push({ key, message })
  const stepNames = Object.keys(steps)
  const names = Object.keys(variants)
  if (names.length === 0) add('variants', 'has none, expected at least one')
  if (baseline !== undefined && !names.includes(baseline))
    add('baseline', `came "${baseline}", expected one of the variants ${names.join(', ')}${meant(baseline, names)}`)
  const seeds = seedsOf(experiment)
  if (new Set(seeds).size < seeds.length) add('seeds', `came ${seeds.join(', ')}, expected each once`)
  if (seeds.length < 2)
    add('seeds', 'came one seed, expected at least 2: what one seed shows cannot be told from chance; 3 to 5 are usual')

  stepNames.forEach((name, index) => {
    problems.push(...stepProblems(`steps.${name}`, steps[name], stepNames.slice(0, index), steps))
  })
  for (const [name, variant] of Object.entries(variants)) {
    const { against } = variant
    if (against !== undefined && (against === name || !names.includes(against)))
      add(`variants.${name}.against`, `came "${against}", expected another of the variants ${names.join(', ')}`)
    for (const [step, own] of Object.entries(variant.steps)) {
      const key = `variants.${name}.steps.${step}`
      const index = stepNames.indexOf(step)
      if (index < 0) add(key, `is no step, expected one of ${stepNames.join(', ')}${meant(step, stepNames)}`)
      else
        problems.push(
          ...stepProblems(key, { ...steps[step], ...own } as ExperimentStep, stepNames.slice(0, index), steps),
        )
    }
  }
  const needStep = (key: string, step: string | undefined) => {
    if (step === undefined && stepNames.length > 1)
      add(`${key}.step`, `is missing, expected one of the steps ${stepNames.join(', ')}`)
    else if (step !== undefined && !stepNames.includes(step))
      add(`${key}.step`, `came "${step}", expected one of the steps ${stepNames.join(', ')}${meant(step, stepNames)}`)
  }
  measures.forEach((measure, index) => {
    const key = `measures.${index}`
    needStep(key, typeof measure === 'string' ? undefined : measure.step)
    if (typeof measure === 'string' || !measure.convergence) return
    if (steps[measure.step ?? stepNames[0]]?.kind !== 'train')
      add(`${key}.convergence`, 'came true, expected a measure of a training step, which is scored on its way')
  })
  const shown = measures.map((measure) => (typeof measure === 'string' ? measure : (measure.name ?? measure.value)))
  shown.forEach((name, index) => {
    if (shown.indexOf(name) < index) add(`measures.${index}.name`, `"${name}" is there twice, expected another name`)
  })
  overviews.forEach((overview, index) => {
    for (const [column, name] of overview.measures.entries()) {
      const key = `overviews.${index}.measures.${column}`
      if (!shown.includes(name)) add(key, `came "${name}", expected a measure of the file${meant(name, shown)}`)
      else if (overview.measures.indexOf(name) < column) add(key, `"${name}" is there twice, expected each once`)
    }
  })
  learned.forEach((criterion, index) => {
    needStep(`learned.${index}`, criterion.step)
    if ((criterion.head === undefined) === (criterion.task === undefined))
      add(`learned.${index}`, 'expected a head (masked LM) or a task, one of both')
    if (criterion.metric !== undefined && criterion.task === undefined)
      add(`learned.${index}.metric`, 'is of a task, expected task beside it')
  })
  problems.push(...variableProblems(experiment, paths))
  return problems
}

function stepProblems(
  key: string,
  step: ExperimentStep,
  earlier: readonly string[],
  steps: Experiment['steps'],
): RecipeProblem[] {
  const problems: RecipeProblem[] = []
  const add = (name: string, message: string) => void problems.push({ key: `${key}.${name}`, message })
  const trained = earlier.filter((name) => steps[name].kind === 'train')
  if (step.from !== undefined && !trained.includes(step.from))
    add(
      'from',
      `came "${step.from}", expected an earlier training step: ${trained.join(', ') || 'there is none'}${meant(step.from, trained)}`,
    )
  if (step.fromBest && step.from === undefined) add('fromBest', 'came true without from, expected from as well')
  if (step.from !== undefined && step.init !== undefined) add('init', 'stands beside from, expected one of both')
  const only: Record<string, (keyof ExperimentStep)[]> = {
    train: ['recipe', 'set', 'budget'],
    evaluate: ['tasks', 'predictions'],
    probe: ['tasks', 'options'],
  }
  for (const name of [...new Set(Object.values(only).flat())]) {
    if (step[name] === undefined || only[step.kind].includes(name)) continue
    add(
      name,
      `means nothing to a step of kind ${step.kind}; remove it${step.kind === 'train' ? ' (a recipe has set)' : ''}`,
    )
  }
  return problems
}

/** Always known: the seed of the run. */
export const SEED = 'seed'

/** A name that nobody knows, and a `--data` that nobody asks for. */
function variableProblems(experiment: Experiment, paths: Readonly<Record<string, string>>): RecipeProblem[] {
  const { common, steps, variants, measures, paths: own } = experiment
  const known = [SEED, ...Object.keys(own), ...Object.keys(paths)]
  const problems: RecipeProblem[] = []
  for (const [name, variant] of Object.entries(variants)) {
    const all = [...known, ...Object.keys(variant.variables)]
    const { variables: _, ...asked } = variant
    problems.push(...missingVariables(asked, `variants.${name}`, all))
    for (const [key, value] of Object.entries({ common, steps, measures }))
      problems.push(...missingVariables(value, key, all))
  }
  const asked = variablesIn({ common, steps, variants, measures })
  for (const name of [...Object.keys(paths), ...Object.keys(own)]) {
    if (name === SEED) problems.push({ key: `paths.${name}`, message: "is the name of the run's seed; take another" })
    if (asked.has(name) || name in own) continue
    const names = [...new Set([...asked.keys(), ...Object.keys(own)])]
    const message = `came by --data, but no setting names \${${name}}; expected one of ${names.join(', ') || 'none'}`
    problems.push({ key: `paths.${name}`, message })
  }
  const seen = new Set<string>()
  return problems.filter(({ key, message }) => !seen.has(`${key} ${message}`) && seen.add(`${key} ${message}`))
}

function meant(given: string, names: readonly string[]): string {
  const near = nearest(given, names)
  return near ? `; did you mean "${near}"?` : ''
}
