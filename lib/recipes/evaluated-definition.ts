/**
 * By which definition the rows of a checkpoint's task are read: the one that it keeps or, of a folder of transformers, which keeps none,
 * that of the known task that its data are given as.
 */
import { StrataError } from '../errors.js'
import type { ModelFolder, SavedTask } from '../model/index.js'
import {
  findDefinition,
  KNOWN_TASKS,
  type SpanTaskDefinition,
  type TaskDefinition,
  type TextTaskDefinition,
} from '../tasks/index.js'

export interface EvaluatedDefinition {
  /** What the task's data are given by, and its figures called. */
  name: string
  definition: TaskDefinition
  /** Longest sequence in tokens. */
  sequenceTokens: number
}

/** `slots`: names of the data that are given. Throws BAD_ARGUMENT when none of them says how a task without a definition is read. */
export function evaluatedDefinition(
  found: Pick<ModelFolder, 'folder' | 'tasks'>,
  saved: SavedTask,
  slots: readonly string[],
): EvaluatedDefinition {
  const { name, labels, sequenceTokens } = saved
  if (saved.definition) {
    // The classes are those of the head, whatever the rows would say.
    const definition = { ...saved.definition, ...(labels && { labels }) } as unknown as TaskDefinition
    return { name, definition, sequenceTokens }
  }
  const slot = slotOf(found, saved, slots)
  const { targetDivisor } = saved
  const known = { ...findDefinition(slot)!, ...(targetDivisor !== undefined && { targetDivisor }) } as TaskDefinition
  const { sequenceTokens: usual = sequenceTokens } = known as SpanTaskDefinition
  return {
    name: slot,
    definition: withClassesOf(found.folder, saved, known),
    sequenceTokens: Math.min(usual, sequenceTokens),
  }
}

/** The slot that names a known task of the kind. It may have another name than the task where that is the only one of its kind. */
function slotOf({ folder, tasks }: Pick<ModelFolder, 'folder' | 'tasks'>, saved: SavedTask, slots: readonly string[]) {
  const { name, kind } = saved
  const isOnly = tasks.filter((task) => task.kind === kind && !task.definition).length === 1
  const isFree = (slot: string) => slot === name || (isOnly && !tasks.some((task) => task.name === slot))
  const fitting = slots.filter((slot) => isFree(slot) && findDefinition(slot)?.kind === kind)
  if (fitting.length === 1) return fitting[0]
  const known = KNOWN_TASKS.filter((task) => task.kind === kind).map((task) => task.name)
  throw new StrataError(
    'BAD_ARGUMENT',
    `${folder} keeps no definition of task ${name} (${kind}), by which its rows would be read, and data came for ${slots.join(', ') || 'no task'}; give those of one known task, like --data ${known[0].toLowerCase()}=PATH, of ${known.join(', ')}; a checkpoint that stratabert trained keeps its own definitions`,
    { details: { task: name } },
  )
}

/** The known task with its classes in the order of the head's. */
function withClassesOf(folder: string, { name, labels }: SavedTask, known: TaskDefinition): TaskDefinition {
  const { labels: ours, metrics, kind } = known
  if (!ours || !labels) return known
  const order = labels.map((label) => ours.findIndex((one) => plain(one) === plain(label)))
  const isSame = labels.length === ours.length && new Set(order).size === ours.length && !order.includes(-1)
  // Names that say nothing: the numbers are those of the rows.
  const areNumbers = labels.length === ours.length && labels.every((label, number) => label === `LABEL_${number}`)
  if (areNumbers || (isSame && order.every((place, number) => place === number))) return known
  // F1 is that of class 1, and rows that hold numbers go by the known order.
  if (isSame && kind === 'classification' && !metrics.includes('f1')) {
    const numbers = Object.fromEntries(ours.map((label, number) => [String(number), label]))
    const labelAliases = { ...numbers, ...(known as TextTaskDefinition).labelAliases }
    return { ...known, labels: order.map((place) => ours[place]), labelAliases } as TaskDefinition
  }
  throw new StrataError(
    'BAD_ARGUMENT',
    `${folder}: task ${name} has the classes ${labels.join(', ')}, ${known.name} has ${ours.join(', ')}; the same were expected, give the data of the task that it was trained for`,
    { details: { task: name } },
  )
}

const plain = (label: string): string => label.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
