import { z } from 'zod'
import type { HeadConfig } from './config.js'

/**
 * What a model folder says of a task, so that the folder can be used by itself: which head answers, through which adapter, how
 * texts are laid out and what the classes are called. Plain JSON.
 */
export interface SavedTask {
  name: string
  kind: 'classification' | 'regression' | 'ranking' | 'span' | 'tagging' | 'parsing'
  /** Name of the model's head. */
  head: string
  /** Name of the adapter that its batches run through. */
  adapter?: string
  /** Class names by number; the relations of a parser. */
  labels?: string[]
  /** `parsing`: names of its parts of speech by number. */
  upos?: string[]
  /** True: two texts an example; false: one. Missing: not known. */
  pair?: boolean
  /** A pair is laid out second text first (the hypothesis before its premise). */
  hypothesisFirst?: boolean
  /** `span`: a question is unanswerable when its no-answer score is above its best answer's by more than this. Missing: each has an answer. */
  noAnswerThreshold?: number
  /** `regression`: lowest and highest value of the labels. */
  range?: [number, number]
  /** `regression`: the head gives a label divided by this number. Default 1. */
  targetDivisor?: number
  /** Longest sequence in tokens, special tokens included. */
  sequenceTokens: number
  /** The first is the main one. */
  metrics: string[]
  /** The definition by which data files of the task are read. */
  definition?: Record<string, unknown>
}

export const savedTaskSchema = z.strictObject({
  name: z.string().min(1),
  kind: z.enum(['classification', 'regression', 'ranking', 'span', 'tagging', 'parsing']),
  head: z.string(),
  adapter: z.string().optional(),
  labels: z.array(z.string()).min(1).optional(),
  upos: z.array(z.string()).min(1).optional(),
  pair: z.boolean().optional(),
  hypothesisFirst: z.boolean().optional(),
  noAnswerThreshold: z.number().optional(),
  range: z.tuple([z.number(), z.number()]).optional(),
  targetDivisor: z.number().positive().optional(),
  sequenceTokens: z.int().min(3),
  metrics: z.array(z.string()),
  definition: z.record(z.string(), z.unknown()).optional(),
})

/** What a regression's scores are multiplied by to be labels; folders of before have it in the definition alone. */
export function targetDivisorOf({ targetDivisor, definition }: SavedTask): number {
  const divisor = targetDivisor ?? definition?.targetDivisor
  return typeof divisor === 'number' ? divisor : 1
}

/** Kinds of heads that a folder may name for a kind of task: more than can be trained on it (HEAD_KINDS of lib/tasks). */
const HEAD_KINDS: Record<SavedTask['kind'], readonly HeadConfig['kind'][]> = {
  classification: ['classifier', 'san'],
  regression: ['regressor'],
  ranking: ['ranker', 'classifier', 'san', 'regressor'],
  span: ['span'],
  tagging: ['tagger'],
  parsing: ['parser'],
}

/** What keeps a task from being answered by these heads and adapters; undefined when nothing does. */
export function savedTaskProblem(
  task: SavedTask,
  heads: readonly HeadConfig[],
  adapters: readonly { name: string }[],
): string | undefined {
  const head = heads.find(({ name }) => name === task.head)
  const known = heads.map(({ name }) => name).join(', ') || 'none'
  if (!head) return `task ${task.name} names the head ${task.head}; the heads are: ${known}`
  if (!HEAD_KINDS[task.kind].includes(head.kind)) {
    return `task ${task.name} is of kind ${task.kind}, its head ${head.name} of kind ${head.kind}; expected ${HEAD_KINDS[task.kind].join(' or ')}`
  }
  if (task.labels && 'classes' in head && head.classes !== task.labels.length) {
    return `task ${task.name} has ${task.labels.length} labels, its head ${head.name} ${head.classes} classes`
  }
  if (head.kind === 'parser' && task.upos && (head.tags ?? 0) !== task.upos.length) {
    return `task ${task.name} has ${task.upos.length} parts of speech, its head ${head.name} ${head.tags ?? 0}`
  }
  if (task.adapter !== undefined && !adapters.some(({ name }) => name === task.adapter)) {
    return `task ${task.name} names the adapter ${task.adapter}, which the model lacks`
  }
  return undefined
}
