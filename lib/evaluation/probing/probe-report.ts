/** What `probe` writes as probes.json. Shares and accuracies lie in 0 … 1; intervals are Wilson's of 95 %. */
import type { EncoderConfig } from '../../model/index.js'
import type { ProbeKind } from '../../tasks/index.js'
import type { ProbePooling } from './encoded-units.js'

export type ProbeClassifier = 'logistic' | 'mlp'

export interface ProbeScore {
  /** On test. */
  accuracy: number
  interval: [low: number, high: number]
  devAccuracy: number
  /** Strength of the penalty that dev chose. */
  l2: number
}

/** One layer, or the learned mix of layers 1 … L, with one classifier. */
export interface ProbeCell extends ProbeScore {
  layer: number | 'mix'
  classifier: ProbeClassifier
  /** Of an MLP: epochs after which dev was best. */
  epochs?: number
  /** Of token probes: accuracy minus that of the control task. */
  selectivity?: number
  controlAccuracy?: number
  /** Of a mix: softmax weights of layers 1 … L, and γ where it is trained (MLP). */
  mixWeights?: number[]
  gamma?: number
  /** Of logistic regression, when false: the search stopped at its limit of steps. */
  converged?: boolean
}

/** One layer of a random encoder with one classifier. */
export type RandomEncoderCell = Omit<ProbeCell, 'layer'> & { layer: number }

/** One probing task: its data, its controls and a cell a layer and classifier. */
export interface ProbedTask {
  name: string
  kind: ProbeKind
  /** Number of classes. */
  classes: number
  train: number
  dev: number
  test: number
  source: string
  notes: string[]
  /** Share on test of the class that is most frequent in training. */
  majority?: number
  controls: {
    bagOfWords?: ProbeScore
    /** The layers of an encoder of the same shape with freshly drawn weights, by every classifier. */
    randomEncoder?: RandomEncoderCell[]
  }
  cells: ProbeCell[]
  /** Seconds of its classifiers, controls included, without the encoder. */
  seconds: number
}

/** A probed checkpoint. */
export interface ProbeReport {
  format: 1
  checkpoint: string
  encoder: EncoderConfig
  /** Of an encoder that was trained with agreements: the relations whose embeddings it got here, and the others. */
  agreements?: { on: string[]; off: string[] }
  date: string
  command: string
  versions: Record<string, string>
  pooling: ProbePooling
  precision: string
  device: string
  seed: number
  tasks: ProbedTask[]
  /** By task: the layer with the best dev accuracy, the centroid of the gains, and the mix's centre of gravity Σ l · s_l (of logistic regression where it was asked for). */
  summary: {
    bestLayer: Record<string, number>
    centroid: Record<string, number>
    mixCentre: Record<string, number>
  }
  /** Tasks that were not asked for by name and left out, with the reason. */
  leftOut: { task: string; reason: string }[]
  cost: {
    /** Of the whole, encoder's pass, random encoder's pass, classifiers. */
    seconds: { total: number; data: number; encoder: number; randomEncoder: number; classifiers: number }
    /** Tokens of one pass of the encoder. */
    tokens: number
    sentences: number
    /** Highest resident memory of the process, in bytes. */
    peakMemoryBytes: number
  }
}
