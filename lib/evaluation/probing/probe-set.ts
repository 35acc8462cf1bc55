/** All figures of one probing task from cached features. */
import { StrataError } from '../../errors.js'
import type { LogisticProbeResult, Probe, ProbeData, ProbeSplitData } from '../../model/index.js'
import type { ProbeSplit } from '../../tasks/index.js'
import { wilsonInterval } from '../metrics.js'
import { bagOfWords } from './bag-of-words.js'
import { controlLabels } from './control-task.js'
import type { ProbeCell, ProbeClassifier, ProbeScore, RandomEncoderCell } from './probe-report.js'
import type { PlannedSet } from './units.js'

/** Strengths that dev chooses from; SentEval's steps of ten, one stronger for the logistic regression. */
const LOGISTIC_L2: readonly number[] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
const MLP_L2: readonly number[] = [1e-5, 1e-4, 1e-3, 1e-2]
/** SentEval probes word content, with 1,000 classes, by logistic regression alone. */
export const MOST_MLP_CLASSES = 200
/** The search for a mix is not convex; what it gains below this changes no answer. */
const MIX_TOLERANCE = 1e-6
/** Above so many classes layers after the first try the strengths around the choice of the layer before. */
const MANY_CLASSES = 100

export interface ClassifierOptions {
  /** Layers by their number and their place in the features. */
  layers: readonly { layer: number; place: number }[]
  /** Places of layers 1 … L; empty = no mix. */
  mixed: readonly number[]
  classifiers: readonly ProbeClassifier[]
  controlTask: boolean
  seed: number
  onProgress?: (what: string) => void
}

/** A planned set whose units have their rows in the features. */
export interface PlacedSet {
  name: string
  classes: number
  data: ProbeData
  /** Examples without tokens of their own, left out. */
  dropped: Record<ProbeSplit, number>
  /** Of token probes: the words of the examples that are left. */
  words?: Record<ProbeSplit, string[]>
}

/** Rows in place of units; examples whose word the encoder cannot read are left out and counted. Throws BAD_DATA when none of a split is left. */
export function placeSet({ set, parts, splits }: PlannedSet, rowOf: Int32Array): PlacedSet {
  const dropped = { train: 0, dev: 0, test: 0 }
  const words = { train: [] as string[], dev: [] as string[], test: [] as string[] }
  const place = (split: ProbeSplit): ProbeSplitData => {
    const examples = splits[split]
    const rows: number[] = []
    const labels: number[] = []
    examples.labels.forEach((label, index) => {
      const own = Array.from({ length: parts }, (_, part) => rowOf[examples.rows[index * parts + part]])
      if (own.includes(-1)) {
        dropped[split]++
        return
      }
      rows.push(...own)
      labels.push(label)
      if (examples.words) words[split].push(examples.words[index])
    })
    if (labels.length === 0) {
      throw new StrataError(
        'BAD_DATA',
        `task ${set.name} (${set.source}): the encoder reads the words of none of its ${dropped[split]} ${split} examples; a tokenizer of the text's script, and sentences within its longest input, were expected`,
        { details: { task: set.name, split } },
      )
    }
    return { rows: Int32Array.from(rows), labels: Int32Array.from(labels) }
  }
  const data: ProbeData = { train: place('train'), dev: place('dev'), test: place('test'), parts }
  return { name: set.name, classes: set.classes.length, data, dropped, words: set.kind === 'token' ? words : undefined }
}

/** Throws BAD_DATA for a task that cannot be probed. */
export function checkSet({ set, splits }: PlannedSet): void {
  const classes = set.classes.length
  const refuse = (problem: string) => {
    throw new StrataError('BAD_DATA', `task ${set.name} (${set.source}): ${problem}`, { details: { task: set.name } })
  }
  if (classes < 2) refuse(`it has ${classes} class; at least two were expected`)
  for (const split of ['train', 'dev', 'test'] as const) {
    const count = splits[split].labels.length
    if (count === 0) refuse(`${split} has no example; at least one was expected`)
    if (split === 'train' && count < classes) {
      refuse(`train has ${count} examples for ${classes} classes; at least one a class was expected`)
    }
  }
  if (new Set(splits.train.labels).size < 2)
    refuse('all training examples are of one class; at least two were expected')
}

/** Share on test of the class that is most frequent in training. */
export function majorityAccuracy({ train, test }: ProbeData, classes: number): number {
  const counts = new Float64Array(classes)
  for (const label of train.labels) counts[label]++
  const most = counts.indexOf(Math.max(...counts))
  return test.labels.reduce((sum, label) => sum + Number(label === most), 0) / test.labels.length
}

export function scoreOf(
  right: number,
  count: number,
  { devAccuracy, l2 }: { devAccuracy: number; l2: number },
): ProbeScore {
  return { accuracy: right / count, interval: wilsonInterval(right, count), devAccuracy, l2 }
}

/** What each cell answered on test, for predictions files. */
export type OnPredictions = (cell: ProbeCell, predictions: Int32Array) => void

/** Every layer and the mix, with every classifier asked for. */
export async function probeLayers(
  probe: Probe,
  placed: PlacedSet,
  options: ClassifierOptions,
  onPredictions?: OnPredictions,
): Promise<ProbeCell[]> {
  const cells: ProbeCell[] = []
  if (options.classifiers.includes('logistic'))
    cells.push(...(await logisticCells(probe, placed, options, onPredictions)))
  if (options.classifiers.includes('mlp') && placed.classes <= MOST_MLP_CLASSES) {
    cells.push(...(await mlpCells(probe, placed, options, onPredictions)))
  }
  return cells
}

async function logisticCells(
  probe: Probe,
  placed: PlacedSet,
  options: ClassifierOptions,
  onPredictions: OnPredictions | undefined,
): Promise<ProbeCell[]> {
  const { data, classes } = placed
  const count = data.test.labels.length
  const control = controlData(placed, options)
  const grid = new NarrowedGrid(classes)
  const cell = (layer: number | 'mix', found: LogisticProbeResult): ProbeCell => {
    const made: ProbeCell = { layer, classifier: 'logistic', ...scoreOf(found.testRight, count, found) }
    if (!found.grid.find(({ l2 }) => l2 === found.l2)!.converged) made.converged = false
    if (found.shares) made.mixWeights = found.shares
    onPredictions?.(made, found.predictions)
    return made
  }
  const cells: ProbeCell[] = []
  for (const { layer, place } of options.layers) {
    options.onProgress?.(`logistic regression on layer ${layer}`)
    const found = await probe.logistic(data, place, { classes, l2: grid.next() })
    grid.chose(found.l2)
    const made = cell(layer, found)
    if (control) {
      const { testRight } = await probe.logistic(control, place, { classes, l2: LOGISTIC_L2 })
      setSelectivity(made, testRight / count)
    }
    cells.push(made)
  }
  if (options.mixed.length > 0) {
    options.onProgress?.('logistic regression on the mix')
    const made = cell(
      'mix',
      await probe.logisticMix(data, options.mixed, { classes, l2: grid.next(), tolerance: MIX_TOLERANCE }),
    )
    if (control) {
      const { testRight } = await probe.logisticMix(control, options.mixed, {
        classes,
        l2: LOGISTIC_L2,
        tolerance: MIX_TOLERANCE,
      })
      setSelectivity(made, testRight / count)
    }
    cells.push(made)
  }
  return cells
}

async function mlpCells(
  probe: Probe,
  placed: PlacedSet,
  options: ClassifierOptions,
  onPredictions: OnPredictions | undefined,
): Promise<ProbeCell[]> {
  const { data, classes } = placed
  const count = data.test.labels.length
  const places = options.layers.map(({ place }) => place)
  const names: (number | 'mix')[] = options.layers.map(({ layer }) => layer)
  if (options.mixed.length > 0) names.push('mix')
  const settings = { classes, l2: MLP_L2, seed: options.seed }
  options.onProgress?.('MLP on all layers')
  const found = await probe.mlp(data, places, options.mixed, settings)
  const control = controlData(placed, options)
  const controls = control && (await probe.mlp(control, places, options.mixed, settings))
  return found.map((result, index) => {
    const made: ProbeCell = {
      layer: names[index],
      classifier: 'mlp',
      ...scoreOf(result.testRight, count, result),
      epochs: result.epochs,
    }
    if (result.shares) Object.assign(made, { mixWeights: result.shares, gamma: result.gamma })
    if (controls) setSelectivity(made, controls[index].testRight / count)
    onPredictions?.(made, result.predictions)
    return made
  })
}

function setSelectivity(cell: ProbeCell, controlAccuracy: number): void {
  cell.controlAccuracy = controlAccuracy
  cell.selectivity = cell.accuracy - controlAccuracy
}

/** The examples of a token probe with the labels of its control task. */
function controlData(
  { name, data, words }: PlacedSet,
  { controlTask, seed }: ClassifierOptions,
): ProbeData | undefined {
  if (!controlTask || !words) return undefined
  const relabelled = (split: ProbeSplit): ProbeSplitData => ({
    rows: data[split].rows,
    labels: controlLabels(words[split], data.train.labels, { seed, task: name }),
  })
  return { train: relabelled('train'), dev: relabelled('dev'), test: relabelled('test'), parts: data.parts }
}

/** Every layer with every classifier asked for, no mix and no control of its own: what an encoder's shape gives without training. */
export async function probeRandomEncoder(
  probe: Probe,
  placed: PlacedSet,
  options: Pick<ClassifierOptions, 'layers' | 'classifiers' | 'seed' | 'onProgress'>,
): Promise<RandomEncoderCell[]> {
  const onProgress = (what: string) => options.onProgress?.(`random encoder, ${what}`)
  const cells = await probeLayers(probe, placed, { ...options, mixed: [], controlTask: false, onProgress })
  return cells.map(({ layer, ...cell }) => ({ ...cell, layer: layer as number }))
}

export async function probeBagOfWords(probe: Probe, { set }: PlannedSet): Promise<ProbeScore> {
  const data = bagOfWords(set)
  const found = await probe.sparseLogistic(data, { classes: set.classes.length, l2: LOGISTIC_L2 })
  return scoreOf(found.testRight, data.test.labels.length, found)
}

/** All strengths; with many classes, after the first layer, those beside the last choice. */
class NarrowedGrid {
  #last: number | undefined

  constructor(readonly classes: number) {}

  next(): readonly number[] {
    if (this.classes <= MANY_CLASSES || this.#last === undefined) return LOGISTIC_L2
    const at = LOGISTIC_L2.indexOf(this.#last)
    return LOGISTIC_L2.slice(Math.max(0, at - 1), at + 2)
  }

  chose(l2: number): void {
    this.#last = l2
  }
}
