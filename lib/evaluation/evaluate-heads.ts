/** Held-out figures of every head, each at its own layer. */
import { type BatchSource, hasLabels } from '../data/packed-batch.js'
import { StrataError } from '../errors.js'
import { type HeadConfig, type HeadEvaluation, type Model, tapLayer } from '../model/index.js'
import { AgreementFigures } from './agreement-scores.js'
import { ATTACHMENT_FIGURES, type AttachmentScores } from './attachment.js'
import { balancedAccuracy, f1Score, perplexity, wilsonInterval } from './metrics.js'
import { ScoreHistogram } from './score-histogram.js'

/** Figures of one head over all labels of the held-out data. */
export interface HeadScores {
  head: string
  kind: HeadConfig['kind']
  /** Layer that the head reads; the top one of a mix; −1 of a head that reads none. */
  layer: number
  /** Labels that were judged. */
  count: number
  /** Mean loss in nats. */
  loss: number
  accuracy: number
  /** Masked LM only. */
  perplexity?: number
  /** 95 % interval of the accuracy (Wilson), for heads with two classes. */
  accuracyInterval?: [low: number, high: number]
  /** Mean of both classes' recall, for heads with two classes. */
  balancedAccuracy?: number
  /**
   * The same when label 1 is said wherever its probability is above label 1's share of the labels: the threshold that is best for
   * the mean of the recalls (Bayes), where the likelier class alone would hardly ever be the rare one.
   */
  balancedAccuracyAtPrior?: number
  /** Of label 1, for heads with two classes. */
  f1?: number
  /** confusion[label * 2 + prediction], for heads with two classes. */
  confusion?: number[]
  /** Agreement heads only, where some chunk stands in the relation. */
  attachment?: AttachmentScores
  /**
   * Masked LM of a model with agreements: the loss when the chunks, too, are made from the corrupted text. Chunks of a clean parse tell
   * something about a masked word; this is the figure to compare models by.
   */
  ownChunksLoss?: number
}

/** Which heads are scored, and who is told. */
export interface EvaluateOptions {
  /** Default: every head that gets labels. */
  heads?: readonly string[]
  /** An abort rejects with ABORTED before the next batch. */
  signal?: AbortSignal
  onBatch?: (done: number, total: number) => void
}

/** Most classes that the core counts a confusion of (native/core/training/model.cc). */
const CONFUSION_CLASSES = 16

/**
 * Runs pass 0 of a source through the model, without dropout, and scores each head over all its labels. A batch without any is passed
 * over, a head without any has no scores.
 */
export async function evaluateHeads(
  model: Model,
  source: BatchSource,
  options: EvaluateOptions = {},
): Promise<Record<string, HeadScores>> {
  const total = source.batchCount(0)
  if (total === 0) throw new StrataError('BAD_DATA', 'the held-out data have no batch, at least one was expected')
  const sums: Record<string, HeadEvaluation> = {}
  const likelihoods: Record<string, ScoreHistogram> = {}
  const agreements = new AgreementFigures(model, options.heads)
  let batch = source.build(0, 0)
  for (let index = 0; index < total; index++) {
    if (options.signal?.aborted)
      throw new StrataError('ABORTED', `evaluation stopped after ${index} of ${total} batches`)
    const current = batch
    const { labels } = current
    const running: Promise<Record<string, HeadEvaluation>> = hasLabels(current)
      ? model.evaluate(current)
      : Promise.resolve({})
    // The next batch is built here while the model's own thread works; if that throws, its error is the one to show.
    running.catch(() => {})
    if (index + 1 < total) batch = source.build(0, index + 1)
    for (const [head, part] of Object.entries(await running)) {
      if (options.heads && !options.heads.includes(head)) continue
      sums[head] = add(sums[head], part)
      if (part.logits?.shape[1] !== 2) continue
      likelihoods[head] ??= new ScoreHistogram()
      likelihoods[head].add(labels[head].labels, part.logits.values)
    }
    await agreements.add(current)
    options.onBatch?.(index + 1, total)
  }
  const scores: Record<string, HeadScores> = {}
  for (const config of model.config.heads) {
    if (!(sums[config.name]?.count > 0)) continue
    const score = scoreHead(config, sums[config.name], model.config.encoder.layers)
    const histogram = likelihoods[config.name]
    scores[config.name] = {
      ...score,
      ...(histogram && { balancedAccuracyAtPrior: histogram.balancedAtPrior() }),
      ...agreements.figures(config.name),
    }
  }
  return scores
}

function add(sum: HeadEvaluation | undefined, part: HeadEvaluation): HeadEvaluation {
  if (!sum) return { ...part, confusion: part.confusion && [...part.confusion] }
  return {
    lossSum: sum.lossSum + part.lossSum,
    count: sum.count + part.count,
    correct: sum.correct + part.correct,
    confusion: sum.confusion?.map((value, index) => value + (part.confusion?.[index] ?? 0)) ?? part.confusion,
  }
}

/** Names of the numbers that {@link evaluateHeads} can give of a head. `agreements`: the model has some. */
export function headFigures(config: HeadConfig, agreements: boolean): string[] {
  const every = ['loss', 'accuracy', 'count', 'layer']
  if (config.kind === 'masked-lm') return [...every, 'perplexity', ...(agreements ? ['ownChunksLoss'] : [])]
  if (config.kind === 'agreement') return [...every, ...ATTACHMENT_FIGURES.map((name) => `attachment.${name}`)]
  const classes = 'classes' in config ? config.classes : 2
  if (classes > CONFUSION_CLASSES) return every
  return [...every, 'balancedAccuracy', 'f1', ...(classes === 2 ? ['balancedAccuracyAtPrior'] : [])]
}

/** Figures of one head from its sums over all batches. */
export function scoreHead(config: HeadConfig, sums: HeadEvaluation, layers: number): HeadScores {
  const { count, correct, lossSum, confusion } = sums
  const base: HeadScores = {
    head: config.name,
    kind: config.kind,
    layer: tapLayer(config.tap, layers),
    count,
    loss: lossSum / count,
    accuracy: correct / count,
  }
  if (config.kind === 'masked-lm') return { ...base, perplexity: perplexity(base.loss) }
  const scores: HeadScores = { ...base, accuracyInterval: wilsonInterval(correct, count) }
  if (!confusion) return scores
  const classes = Math.round(Math.sqrt(confusion.length))
  return {
    ...scores,
    balancedAccuracy: balancedAccuracy(confusion, classes),
    f1: f1Score(confusion, classes, 1),
    confusion: [...confusion],
  }
}
