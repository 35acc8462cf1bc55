import { nearest } from '../edit-distance.js'
import { findDefinition, HEAD_KINDS, KNOWN_TASKS, type TaskDefinition, type TaskKind } from '../tasks/index.js'
import { TEXT_SLOTS } from './active-tasks.js'
import { adapterConfig } from './model-of-recipe.js'
import type { RecipeProblem } from './recipe-problems.js'
import { drawnNames, PRETRAINING, stagesOf } from './recipe-stages.js'
import { isPair, taskDefinition } from './recipe-tasks.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import type { RecipeTask } from './schema.js'

const KNOWN_NAMES = KNOWN_TASKS.map(({ name }) => name.toLowerCase().replaceAll('.', ''))

/** Faults of labelled tasks, mixes and stages that no single key shows. */
export function taskFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  return [
    ...slotFaults(recipe),
    ...corpusFaults(recipe),
    ...tapFaults(recipe),
    ...poolerFaults(recipe),
    ...nameFaults(recipe),
    ...definitionFaults(recipe),
    ...headKindFaults(recipe),
    ...adapterFaults(recipe),
    ...lengthFaults(recipe),
    ...stageFaults(recipe),
    ...samplerFaults(recipe),
  ]
}

/** A slot is text's, or a task's. */
function slotFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const tasks = Object.keys(recipe.tasks)
  return Object.keys(recipe.data).flatMap((slot) => {
    if (TEXT_SLOTS.includes(slot) || tasks.includes(slot)) return []
    const near = nearest(slot, [...TEXT_SLOTS, ...tasks, ...KNOWN_NAMES])
    const message = `no task has this name${near ? `; did you mean "${near}"?` : ''} (known tasks: ${KNOWN_NAMES.join(', ')}; describe one of your own in tasks.${slot}.definition)`
    return [{ key: `data.${slot}`, message }]
  })
}

function corpusFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const { corpus } = recipe.data
  if (corpus === undefined || typeof corpus === 'string' || Array.isArray(corpus)) return []
  const missing = corpus.fromTasks.find((name) => !Object.hasOwn(recipe.tasks, name))
  if (missing === undefined) return []
  const message = `names "${missing}", expected some of the tasks ${Object.keys(recipe.tasks).join(', ') || '(none)'}`
  return [{ key: 'data.corpus.fromTasks', message }]
}

function tapFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const mixes = Object.keys(recipe.mixes)
  const { layers } = recipe.encoder
  const heads = [
    ...Object.entries(recipe.heads).map(([name, head]) => ({ key: `heads.${name}`, head })),
    ...Object.entries(recipe.tasks).map(([name, { head }]) => ({ key: `tasks.${name}.head`, head })),
  ]
  return heads.flatMap(({ key, head }) => {
    if (head.mix !== undefined && !mixes.includes(head.mix)) {
      const message = `came "${head.mix}", expected one of the recipe's mixes: ${mixes.join(', ') || 'none'}`
      return [{ key: `${key}.mix`, message }]
    }
    if (head.layer <= layers || key.startsWith('heads.')) return []
    return [{ key: `${key}.layer`, message: `came ${head.layer}, expected at most encoder.layers = ${layers}` }]
  })
}

function poolerFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  return Object.entries(recipe.tasks).flatMap(([name, { head }]) => {
    if (head.poolerSize === undefined || head.pooler === 'own') return []
    const message = `came ${head.poolerSize} with pooler "${head.pooler}", expected pooler: own, or taskDefaults.head.poolerSize: null for the encoder's width`
    return [{ key: `tasks.${name}.head.poolerSize`, message }]
  })
}

/** The self-supervised heads' task, and what stands for all tasks in `checkpoint.best.metric`. */
const RESERVED = [PRETRAINING, 'mean', 'sum']

function nameFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const problems: RecipeProblem[] = []
  for (const [name, task] of Object.entries(recipe.tasks)) {
    const key = `tasks.${name}`
    if (Object.hasOwn(recipe.heads, name)) {
      problems.push({ key, message: `is also the name of a head, heads.${name}; give one of them another name` })
    } else if (RESERVED.includes(name)) {
      problems.push({ key, message: `came "${name}", a name that the run itself needs; give the task another one` })
    }
    if (task.use !== undefined && !findDefinition(task.use)) {
      problems.push({ key: `${key}.use`, message: `came "${task.use}", expected one of ${KNOWN_NAMES.join(', ')}` })
    } else if (!task.definition && !findDefinition(task.use ?? name)) {
      const near = nearest(name, KNOWN_NAMES)
      const message = `is no known task${near ? `; did you mean "${near}"?` : ''}, expected ${key}.definition with kind, text and label`
      problems.push({ key, message })
    }
  }
  return problems
}

/** Keys of kinds whose rows are those of a table. */
const TABLE = ['label', 'noLabel', 'format', 'header', 'delimiter'] as const

/** What a definition may say beside `kind` and `metrics`. */
const DEFINITION_KEYS: Record<TaskKind, readonly (keyof NonNullable<RecipeTask['definition']>)[]> = {
  classification: ['text', ...TABLE, 'labels', 'hypothesisFirst'],
  regression: ['text', ...TABLE, 'range', 'targetDivisor', 'hypothesisFirst'],
  ranking: ['question', 'candidate', ...TABLE, 'group', 'positive', 'negative'],
  span: ['noAnswer', 'noAnswerThreshold', 'stride', 'questionTokens', 'maxAnswerTokens', 'nBest'],
  tagging: ['words', 'tags', 'column', 'labels'],
  parsing: ['upos', 'batchWords', 'labels'],
}

/** The schema takes the keys of all kinds; those of another one would do nothing. */
function definitionFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  return Object.entries(recipe.tasks).flatMap(([name, task]) => {
    const definition = task.definition && wholeDefinition(recipe, name)
    if (!definition) return []
    const { kind } = definition
    const known: readonly string[] = ['kind', 'metrics', ...DEFINITION_KEYS[kind]]
    const message = `is no key of kind ${kind}, expected some of ${known.join(', ')}; remove it, or give the kind that is meant`
    return Object.entries(task.definition!)
      .filter(([key, value]) => value !== undefined && !known.includes(key))
      .map(([key]) => ({ key: `tasks.${name}.definition.${key}`, message }))
  })
}

/** A task's definition; undefined where what makes one is missing, a fault of its own. */
function wholeDefinition(recipe: ResolvedRecipe, name: string): TaskDefinition | undefined {
  try {
    return taskDefinition(recipe, name)
  } catch {
    return undefined
  }
}

function headKindFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  return Object.entries(recipe.tasks).flatMap(([name, { head }]) => {
    const { kind } = head
    const definition = kind === 'auto' ? undefined : wholeDefinition(recipe, name)
    if (kind === 'auto' || !definition) return []
    const pairs = definition.kind !== 'classification' || isPair(definition)
    const fitting = HEAD_KINDS[definition.kind].filter((known) => known !== 'san' || pairs)
    if (fitting.includes(kind)) return []
    const what = pairs ? `a ${definition.kind} task` : 'a classification of single texts'
    return [{ key: `tasks.${name}.head.kind`, message: `came "${kind}", expected ${fitting.join(' or ')} for ${what}` }]
  })
}

function adapterFaults({ adapter }: ResolvedRecipe): RecipeProblem[] {
  if (!adapter || (adapter.kind !== 'pal' && adapter.kind !== 'top-attention')) return []
  const { size, heads } = adapterConfig('', adapter, 1)
  if (size! % heads! === 0) return []
  return [{ key: 'adapter.size', message: `came ${size}, expected a multiple of adapter.heads = ${heads}` }]
}

function lengthFaults({ tasks, encoder }: ResolvedRecipe): RecipeProblem[] {
  return Object.entries(tasks).flatMap(([name, { sequenceTokens }]) => {
    if (sequenceTokens === undefined || sequenceTokens <= encoder.maxPositions) return []
    const message = `came ${sequenceTokens}, expected at most encoder.maxPositions = ${encoder.maxPositions}`
    return [{ key: `tasks.${name}.sequenceTokens`, message }]
  })
}

/** Weights of the recipe, and of a stage, name what is drawn there; every stage finds those of all its tasks. */
function samplerFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const stages = stagesOf(recipe)
  const all = [...new Set(stages.flatMap(drawnNames))]
  const written = [
    { key: 'sampler', sampler: recipe.sampler },
    ...(recipe.stages ?? []).map(({ sampler }, index) => ({ key: `stages.${index}.sampler`, sampler })),
  ]
  const unknown = written.flatMap(({ key, sampler }) => {
    const names = sampler?.kind === 'weights' ? Object.keys(sampler.weights) : []
    return names
      .filter((name) => !all.includes(name))
      .map((name) => ({
        key: `${key}.weights.${name}`,
        message: `is the weight of no task, expected ${all.join(', ')}`,
      }))
  })
  const missing = stages.flatMap((stage) => {
    const { sampler, name } = stage
    if (sampler.kind !== 'weights') return []
    const { weights } = sampler
    const lacking = drawnNames(stage).filter((task) => !Object.hasOwn(weights, task))
    if (lacking.length > 0)
      return `lacks ${lacking.join(', ')}, which stage ${name} trains; give each a weight (0 leaves it out)`
    return Object.values(weights).some((weight) => weight > 0) ? [] : `are all 0 in stage ${name}, expected one above 0`
  })
  return [...unknown, ...missing.map((message) => ({ key: 'sampler.weights', message }))]
}

function stageFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const problems: RecipeProblem[] = []
  const tasks = Object.keys(recipe.tasks)
  const { sequences, sequenceTokens } = recipe.batch
  recipe.stages?.forEach((stage, index) => {
    const key = `stages.${index}`
    const missing = stage.tasks?.find((name) => !tasks.includes(name))
    if (missing !== undefined) {
      problems.push({
        key: `${key}.tasks`,
        message: `names "${missing}", expected some of ${tasks.join(', ') || 'none'}`,
      })
    }
    if (tasks.length > 0 && (stage.batch.sequences !== sequences || stage.batch.sequenceTokens !== sequenceTokens)) {
      problems.push({
        key: `${key}.batch`,
        message: `came ${stage.batch.sequences} sequences of ${stage.batch.sequenceTokens} tokens, expected the recipe's own ${sequences} of ${sequenceTokens}: labelled tasks are cut and batched once a run`,
      })
    }
    if (stage.eachTask && index === 0 && stage.startFrom === undefined && tasks.length > 1) {
      problems.push({
        key: `${key}.eachTask`,
        message:
          'came true for the first stage, expected an earlier stage to start each task from, or startFrom: initial',
      })
    }
  })
  const stages = stagesOf(recipe)
  for (const [index, stage] of stages.entries()) {
    // A recipe without any head or task is a fault of its own.
    if (stage.heads.length + stage.tasks.length === 0 && tasks.length + Object.keys(recipe.heads).length > 0) {
      problems.push({
        key: `stages.${index}`,
        message: `stage ${stage.name} trains no head and no task, expected at least one`,
      })
    }
    const earlier = stages.slice(0, index).map(({ name }) => name)
    if (stage.startFrom !== undefined && stage.startFrom !== 'initial' && !earlier.includes(stage.startFrom)) {
      problems.push({
        key: `stages.${index}.startFrom`,
        message: `came "${stage.startFrom}", expected initial or an earlier stage: ${earlier.join(', ') || 'none'}`,
      })
    }
  }
  return problems
}
