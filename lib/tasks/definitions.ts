/** The tasks known by name, and how tasks of each kind are opened. */
import { StrataError } from '../errors.js'
import { COLA, MRPC, QQP, SST_2, STS_B } from './glue.js'
import { MNLI, QNLI, RTE, SCITAIL, SNLI, WNLI } from './nli.js'
import { openTextTask } from './open-text-task.js'
import { openParsingTask, UD_PARSING } from './parsing-task.js'
import { openRankingTask, QNLI_RANKING, SQUAD_RANKING } from './ranking-task.js'
import { openSpanTask, SQUAD_11, SQUAD_20 } from './span-task.js'
import { openTaggingTask, UPOS_EWT } from './tagging-task.js'
import type { OpenedTask, OpenTaskOptions, TaskDefinition, TaskKind, TaskOpener } from './types.js'

/** Every task that can be asked for by name. */
export const KNOWN_TASKS: readonly TaskDefinition[] = [
  COLA,
  SST_2,
  MRPC,
  STS_B,
  QQP,
  MNLI,
  QNLI,
  RTE,
  WNLI,
  SNLI,
  SCITAIL,
  SQUAD_11,
  SQUAD_20,
  SQUAD_RANKING,
  QNLI_RANKING,
  UPOS_EWT,
  UD_PARSING,
]

// An opener reads the definition of its own kind only, which the kind tells.
const OPENERS: Record<TaskKind, TaskOpener<any>> = {
  classification: openTextTask,
  regression: openTextTask,
  ranking: openRankingTask,
  span: openSpanTask,
  tagging: openTaggingTask,
  parsing: openParsingTask,
}

/** Other names that people use. */
const ALIASES: Readonly<Record<string, TaskDefinition>> = {
  squad: SQUAD_11,
  squad2: SQUAD_20,
  squadv2: SQUAD_20,
  sts: STS_B,
}

/** The known task of this name; case and hyphens do not matter (`sst2` is SST-2). */
export function findDefinition(name: string): TaskDefinition | undefined {
  const wanted = plain(name)
  if (Object.hasOwn(ALIASES, wanted)) return ALIASES[wanted]
  return KNOWN_TASKS.find((definition) => plain(definition.name) === wanted)
}

/** As {@link findDefinition}; throws BAD_ARGUMENT naming the known tasks. */
export function definitionOf(name: string): TaskDefinition {
  const definition = findDefinition(name)
  if (definition) return definition
  throw new StrataError(
    'BAD_ARGUMENT',
    `no task is called "${name}"; known are ${KNOWN_TASKS.map((known) => known.name).join(', ')}; describe one of your own with customDefinition or, in a recipe, tasks.<name>.definition`,
  )
}

/** What a tokenizer needs to cut a pair: [CLS], two [SEP] and a token. */
const LEAST_TOKENS = 4

/** Opens a task of any kind. Throws BAD_ARGUMENT on sizes that no example fits, and what the kind's opener throws, see openTextTask. */
export async function openTask(options: OpenTaskOptions): Promise<OpenedTask> {
  const { name = options.definition.name, sequenceTokens = LEAST_TOKENS, sequences = 1 } = options
  if (!(Number.isInteger(sequenceTokens) && sequenceTokens >= LEAST_TOKENS)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `task ${name}: sequenceTokens is ${sequenceTokens}; a whole number of at least ${LEAST_TOKENS} was expected`,
    )
  }
  if (!(Number.isInteger(sequences) && sequences >= 1)) {
    throw new StrataError('BAD_ARGUMENT', `task ${name}: ${sequences} sequences a batch; at least one was expected`)
  }
  return OPENERS[options.definition.kind](options)
}

const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
