/** The labelled tasks of a recipe: their definitions, and their data opened. */
import { createHash } from 'node:crypto'
import { StrataError } from '../errors.js'
import type { SavedTask } from '../model/index.js'
import {
  type CustomTask,
  customDefinition,
  definitionOf,
  findDefinition,
  isPredictionSplit,
  namedSplits,
  type OpenedTask,
  openTask,
  type ParsingTaskDefinition,
  type SpanTaskDefinition,
  type TaskDefinition,
  type TaskFiles,
  type TaskKind,
  type TextTaskDefinition,
  writeTaskCorpus,
} from '../tasks/index.js'
import type { Tokenizer } from '../text/index.js'
import type { TaskShape } from './model-of-recipe.js'
import type { ResolvedRecipe } from './resolve-recipe.js'

export interface OpenTasksOptions {
  /** Only these splits are read; default all but the test sets, which no run looks at. */
  splits?: readonly string[]
  /** Where examples go that memory is not to hold; default the user's cache. */
  cacheDirectory?: string
  /** Leaves tasks out that have no data, in place of an error, and reads test sets too. */
  planOnly?: boolean
  signal?: AbortSignal
  onProgress?: (line: string) => void
}

/** The definition of a recipe's task: a known one, with what the recipe says otherwise, or the user's own. */
export function taskDefinition(recipe: ResolvedRecipe, name: string): TaskDefinition {
  const { use, definition: own } = recipe.tasks[name]
  const known = own && use === undefined ? findDefinition(name) : definitionOf(use ?? name)
  const given = Object.fromEntries(Object.entries(own ?? {}).filter(([, value]) => value !== undefined))
  const { kind, text, label } = given
  const isOwn = kind === undefined ? text !== undefined && label !== undefined : (text ?? label) !== undefined
  if (known && !isOwn) return { ...known, ...withColumns(given) } as TaskDefinition
  const usual = OWN_DEFAULTS[kind as TaskKind]
  if (usual) return { ...usual, ...withColumns(given), name } as TaskDefinition
  // Columns of one's own hold no other numbers than the known task's.
  const custom = known?.kind === 'regression' ? { kind: known.kind, ...given } : given
  return customDefinition(name, custom as unknown as CustomTask)
}

/** What a user's own task of these kinds has when the recipe does not say otherwise. */
const OWN_DEFAULTS: Partial<Record<TaskKind, Omit<TaskDefinition, 'name'>>> = {
  span: { kind: 'span', metrics: ['f1', 'exactMatch'], sequenceTokens: 384 } as Omit<SpanTaskDefinition, 'name'>,
  ranking: { kind: 'ranking', metrics: ['accuracyAt1', 'meanReciprocalRank'] },
  tagging: { kind: 'tagging', metrics: ['accuracy', 'f1Macro'] },
  parsing: { kind: 'parsing', metrics: ['LAS', 'UAS', 'UPOS', 'CLAS'] },
}

const COLUMNS = ['question', 'candidate', 'group', 'label', 'words', 'tags']

/** What a recipe says of a definition, its columns as the openers take them. */
function withColumns({ text, ...given }: Record<string, unknown>): Record<string, unknown> {
  const columns = COLUMNS.flatMap((key) => (key in given ? [[key, columnChoice(given[key] as string | number)]] : []))
  const texts = text === undefined ? [] : [text].flat().map((column) => columnChoice(column as string | number))
  return { ...given, ...Object.fromEntries(columns), ...(texts.length > 0 && { texts }) }
}

function columnChoice(column: string | number) {
  return typeof column === 'string' ? { names: [column] } : { position: column }
}

/** Whether an example has two texts. */
export function isPair(definition: TaskDefinition): boolean {
  return 'texts' in definition && (definition as TextTaskDefinition).texts.length === 2
}

/** The definition that a task is opened with: a SAN reads the second text first, unless the recipe says otherwise. */
export function openedDefinition(recipe: ResolvedRecipe, name: string): TaskDefinition {
  const definition = taskDefinition(recipe, name)
  const isSaid = (definition as Partial<TextTaskDefinition>).hypothesisFirst !== undefined
  if (isSaid || headKind(recipe, name, definition) !== 'san') return definition
  return { ...definition, hypothesisFirst: true } as TaskDefinition
}

/** Reads and tokenises the data of every task of the recipe. Throws BAD_RECIPE when a task has no data slot. */
export async function openRecipeTasks(
  recipe: ResolvedRecipe,
  tokenizer: Tokenizer,
  options: OpenTasksOptions = {},
): Promise<OpenedTask[]> {
  const opened: OpenedTask[] = []
  for (const [name, task] of Object.entries(recipe.tasks)) {
    if (recipe.data[name] === undefined && options.planOnly) continue
    const data = dataOf(recipe, name)
    options.onProgress?.(`reading task ${name}`)
    const definition = openedDefinition(recipe, name)
    opened.push(
      await openTask({
        definition,
        name,
        data,
        tokenizer,
        seed: recipe.seed,
        sequences: recipe.batch.sequences,
        sequenceTokens: sequenceTokensOf(recipe, name, definition),
        adapter: recipe.adapter && task.adapter ? name : undefined,
        devShare: task.devShare,
        fraction: task.fraction,
        drawSeed: task.drawSeed,
        maxBadShare: task.maxBadShare,
        splits: options.splits ?? (options.planOnly ? undefined : splitsOfRun(definition, data)),
        memoryBytes: recipe.taskMegabytes * 2 ** 20,
        cacheDirectory: options.cacheDirectory,
        signal: options.signal,
      }),
    )
  }
  return opened
}

/** A test set's rows may be many, its labels secret or wrong: whoever trains does not depend on them. */
function splitsOfRun(definition: TaskDefinition, data: string | TaskFiles): string[] {
  const { files } = definition as Partial<TextTaskDefinition>
  return namedSplits(data, files).filter((split) => !isPredictionSplit(split))
}

/**
 * What the recipe says of the task, else what its definition asks for (the windows of a span task) within the encoder's positions,
 * else the batch's limit.
 */
export function sequenceTokensOf(recipe: ResolvedRecipe, name: string, definition: TaskDefinition): number {
  const { sequenceTokens = recipe.batch.sequenceTokens } = definition as Partial<SpanTaskDefinition>
  return recipe.tasks[name].sequenceTokens ?? Math.min(sequenceTokens, recipe.encoder.maxPositions)
}

function headKind(recipe: ResolvedRecipe, name: string, definition: TaskDefinition): string {
  const { kind, pairKind } = recipe.tasks[name].head
  if (kind !== 'auto') return kind
  return definition.kind === 'classification' && isPair(definition) ? pairKind : 'auto'
}

export function shapeOf({ name, kind, labels, definition }: OpenedTask): TaskShape {
  return { name, kind, classes: labels?.length, tags: uposOf(definition)?.length, pair: isPair(definition) }
}

/** Names of the parts of speech that a parser of this task learns. */
function uposOf(definition: TaskDefinition): readonly string[] | undefined {
  const { upos } = definition as Partial<ParsingTaskDefinition>
  return Array.isArray(upos) ? upos : undefined
}

/** Shapes of the tasks that are planned without data: those of their definitions. */
export function shapesWithoutData(recipe: ResolvedRecipe, opened: readonly OpenedTask[]): TaskShape[] {
  return Object.keys(recipe.tasks)
    .filter((name) => !opened.some((task) => task.name === name))
    .map((name) => {
      const definition = taskDefinition(recipe, name)
      return { name, kind: definition.kind, classes: definition.labels?.length, pair: isPair(definition) }
    })
}

/** What a checkpoint keeps of a task, so that it can be used and evaluated by itself. */
export function savedTask(recipe: ResolvedRecipe, task: OpenedTask): SavedTask {
  const { name, kind, head, labels, metrics, definition } = task
  const { adapter } = recipe.tasks[name]
  const { hypothesisFirst, range, targetDivisor } = definition as Partial<TextTaskDefinition>
  const { noAnswer, noAnswerThreshold = 0 } = definition as Partial<SpanTaskDefinition>
  const upos = uposOf(definition)
  return {
    name,
    kind,
    head,
    ...(recipe.adapter && adapter && { adapter: name }),
    ...(labels && { labels: [...labels] }),
    ...(upos && { upos: [...upos] }),
    pair: isPair(definition),
    ...(hypothesisFirst && { hypothesisFirst }),
    ...(range && { range: [...range] }),
    ...(targetDivisor !== undefined && { targetDivisor }),
    ...(noAnswer && { noAnswerThreshold }),
    sequenceTokens: sequenceTokensOf(recipe, name, definition),
    metrics: [...metrics],
    definition: { ...definition },
  }
}

/** Writes the training texts of some tasks to a file of JSON lines for the corpus; returns its path. */
export async function writeCorpusOfTasks(
  recipe: ResolvedRecipe,
  names: readonly string[],
  pathOf: (fileName: string) => string,
  signal: AbortSignal | undefined,
  notes: string[],
): Promise<string> {
  const sources = names.map((name) => ({
    definition: taskDefinition(recipe, name),
    name,
    data: dataOf(recipe, name),
    seed: recipe.seed,
    devShare: recipe.tasks[name].devShare,
    maxBadShare: recipe.tasks[name].maxBadShare,
    signal,
  }))
  const origin = sources.map(({ name, data, seed, devShare, definition }) => ({
    name,
    data,
    seed,
    devShare,
    definition,
  }))
  const key = createHash('sha256').update(JSON.stringify(origin)).digest('hex').slice(0, 16)
  const { path, documents, repeatedTexts, notes: told } = await writeTaskCorpus(pathOf(`texts-${key}.jsonl`), sources)
  notes.push(
    ...told,
    `${documents} documents from the texts of ${names.join(', ')}; ${repeatedTexts} repeated texts left out`,
  )
  return path
}

function dataOf(recipe: ResolvedRecipe, name: string): string | TaskFiles {
  const data = recipe.data[name]
  if (data === undefined) {
    throw new StrataError(
      'BAD_RECIPE',
      `data.${name}: is missing, expected the files of task ${name}; give --data ${name}=PATH`,
    )
  }
  return data as string | TaskFiles
}
