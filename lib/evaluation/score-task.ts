/** A task's metrics over a whole split. */
import type { PackedBatch } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import type { HeadConfig, Model } from '../model/index.js'
import { HEAD_KINDS } from '../tasks/index.js'
import type { OpenedTask, TaskDefinition, TaskKind, TaskScores, TaskSet } from '../tasks/types.js'
import { parsingScorer } from './parsing-scorer.js'
import { RANKING_FIGURES, rankingScorer } from './ranking-scorer.js'
import { spanFigureNames, spanScorer } from './span-scorer.js'
import { taggingScorer } from './tagging-scorer.js'
import type { TaskPrediction, TaskScorerFactory } from './task-scorer.js'
import { classificationScorer, regressionScorer } from './text-scorers.js'

export interface ScoreTaskOptions {
  /** An abort rejects with ABORTED before the next batch. */
  signal?: AbortSignal
  onBatch?: (done: number, total: number) => void
  /** Another head of the model than the task's. */
  head?: string
  /** Called for every example. */
  predictions?: (prediction: TaskPrediction) => void
}

/** How each kind is scored. */
const SCORERS: Record<TaskKind, TaskScorerFactory> = {
  classification: classificationScorer,
  regression: regressionScorer,
  ranking: rankingScorer,
  span: spanScorer,
  tagging: taggingScorer,
  parsing: parsingScorer,
}

/** What a kind's scorer tells beside the task's own metrics. */
const ALWAYS_TOLD: Partial<Record<TaskKind, (definition: TaskDefinition) => readonly string[]>> = {
  ranking: () => RANKING_FIGURES,
  span: spanFigureNames,
}

/**
 * Runs a split's batches through the model, without dropout, and computes the task's metrics over all examples at once. In a
 * split without labels `metrics` is empty, `loss` and `main` are NaN, and `predictions` is what one wants.
 *
 * Throws BAD_ARGUMENT (no such split, no such head, a head of another kind or number of classes) and ABORTED.
 */
export async function scoreTask(
  model: Model,
  task: OpenedTask,
  split: string,
  options: ScoreTaskOptions = {},
): Promise<TaskScores> {
  const set = splitOf(task, split)
  const head = options.head ?? task.head
  checkHead(model, task, head)
  const scorer = SCORERS[task.kind]({ task, split, set, predictions: options.predictions })
  const total = set.batchCount(0)
  let lossSum = 0
  let count = 0
  let next = set.build(0, 0)
  for (let index = 0; index < total; index++) {
    if (options.signal?.aborted) {
      throw new StrataError('ABORTED', `scoring task ${task.name} stopped after ${index} of ${total} batches`)
    }
    const batch = next
    const running = model.evaluate(forHead(batch, task.head, head))
    // The next batch is built here while the model's own thread works; if that throws, its error is the one to show.
    running.catch(() => {})
    if (index + 1 < total) next = set.build(0, index + 1)
    const evaluation = (await running)[head]
    lossSum += evaluation.lossSum
    count += evaluation.count
    scorer.add(batch, index, evaluation)
    options.onBatch?.(index + 1, total)
  }
  const figures = scorer.finish()
  // The main one first, as tables and logs show them.
  const ordered = [...task.metrics, ...Object.keys(figures)].filter((name) => name in figures)
  const metrics = Object.fromEntries(ordered.map((name) => [name, figures[name]]))
  return {
    task: task.name,
    split,
    count: scorer.examples ?? count,
    loss: set.labelled ? lossSum / count : Number.NaN,
    metrics,
    main: metrics[task.metrics[0]] ?? Number.NaN,
  }
}

/** Names of the metrics that {@link scoreTask} tells of a labelled split, the main one first. */
export function metricsTold({ kind, metrics, definition }: OpenedTask): string[] {
  return [...new Set([...metrics, ...(ALWAYS_TOLD[kind]?.(definition) ?? [])])]
}

/** Any split of a task by name. Throws BAD_ARGUMENT naming those there are. */
export function splitOf(task: OpenedTask, split: string): TaskSet {
  const sets: Record<string, TaskSet | undefined> = { train: task.train, ...task.prediction, ...task.evaluation }
  const set = Object.hasOwn(sets, split) ? sets[split] : undefined
  if (set) return set
  const there = Object.keys(sets).filter((name) => sets[name])
  throw new StrataError(
    'BAD_ARGUMENT',
    `task ${task.name} has no split ${split}; there are ${there.join(', ') || 'none'}`,
    {
      details: { task: task.name, split },
    },
  )
}

function checkHead(model: Model, task: OpenedTask, head: string): void {
  const details = { task: task.name, head }
  const { heads } = model.config
  const config = heads.find(({ name }) => name === head)
  if (!config) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `the model has no head ${head}, which task ${task.name} is scored by; its heads are ${heads.map(({ name }) => name).join(', ') || 'none'}`,
      { details },
    )
  }
  const kinds: readonly HeadConfig['kind'][] = HEAD_KINDS[task.kind]
  if (!kinds.includes(config.kind)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `head ${head} is a ${config.kind}; a ${task.kind} task (${task.name}) needs a ${kinds.join(' or ')}`,
      { details },
    )
  }
  if ('classes' in config && task.labels && config.classes !== task.labels.length) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `head ${head} has ${config.classes} classes, task ${task.name} has ${task.labels.length} (${task.labels.slice(0, 10).join(', ')}); use data with the classes it was trained on`,
      { details },
    )
  }
}

function forHead(batch: PackedBatch, from: string, to: string): PackedBatch {
  return from === to ? batch : { ...batch, labels: { [to]: batch.labels[from] } }
}
