/** Probes a checkpoint: one pass of the frozen encoder caches all layers, then every task is probed at every layer. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, StrataError } from '../../errors.js'
import { type Device, type EncoderConfig, loadModel, Model, type Precision, Probe } from '../../model/index.js'
import type { ProbeSet } from '../../tasks/index.js'
import { isLeftover, temporaryName } from '../../temporary-names.js'
import { Tokenizer } from '../../text/index.js'
import { type EncodedUnits, encodeUnits, type ProbePooling } from './encoded-units.js'
import { cacheFeatures } from './feature-cache.js'
import { bestLayer, layerCentroid } from './layer-summary.js'
import type { ProbeCell, ProbeClassifier, ProbedTask, ProbeReport } from './probe-report.js'
import {
  checkSet,
  MOST_MLP_CLASSES,
  majorityAccuracy,
  type PlacedSet,
  placeSet,
  probeBagOfWords,
  probeLayers,
  probeRandomEncoder,
} from './probe-set.js'
import { unconvergedNote } from './probe-table.js'
import { chosenAgreements, relationsOf } from './probed-agreements.js'
import { type PlannedSet, UnitPlan } from './units.js'

/**
 * What a probe's accuracy is held against: the most frequent class, word counts, an encoder of the same shape that was never trained, and labels
 * drawn by word (Hewitt & Liang 2019, control tasks).
 */
export const PROBE_CONTROLS = ['majority', 'bag-of-words', 'random-encoder', 'control-task'] as const
export type ProbeControl = (typeof PROBE_CONTROLS)[number]

export interface ProbeOptions {
  /** Numbers of layers (0 = embeddings) and `mix`, the learned sum of layers 1 … L; default all of them. */
  layers?: readonly (number | 'mix')[]
  /** Default `mean`: over all tokens of the sentence, [CLS] and [SEP] included. */
  pooling?: ProbePooling
  /** Default `logistic`. */
  classifiers?: readonly ProbeClassifier[]
  /** Default: all of {@link PROBE_CONTROLS}. */
  controls?: readonly ProbeControl[]
  /** Of the random encoder, the control task and the MLP; default 1. */
  seed?: number
  device?: Device
  precision?: Precision
  /**
   * Of a checkpoint with submodels of agreements: the relations whose embeddings join the encoder's, of those that it was trained with; default
   * all of them, none: the encoder by itself, as without submodels.
   */
  agreements?: readonly string[]
  /** Most tokens that the encoder computes at once; default 4096. */
  maxBatchTokens?: number
  /** Longest sentence in tokens; default: the encoder's positions. */
  maxTokens?: number
  /** Where the temporary file with the states goes. */
  folder: string
  /** Size of that file that makes tasks go in several passes; default 2 GiB. */
  maxCacheBytes?: number
  signal?: AbortSignal
  onProgress?: (line: string) => void
  /** Gets what each cell answered on test: class numbers, in the order of the examples that were probed. */
  onPredictions?: (task: PlannedSet, cell: ProbeCell, labels: Int32Array, predictions: Int32Array) => void
}

/** Tasks, or what opens them, which may take minutes: it is called when folder, layers, device and output have been found good. */
export type ProbeSets = readonly ProbeSet[] | (() => Promise<readonly ProbeSet[]>)

export type ProbeFigures = Pick<
  ProbeReport,
  'checkpoint' | 'encoder' | 'agreements' | 'pooling' | 'precision' | 'device' | 'seed' | 'tasks' | 'summary' | 'cost'
>

const DEFAULT_CACHE_BYTES = 2 ** 31
const CACHE_PREFIX = 'features'

/**
 * Probes the encoder of a model folder. Throws BAD_ARGUMENT for a layer that the encoder lacks or agreements that it was not trained with, BAD_DATA for a task that cannot be probed
 * (one class, fewer examples than classes), what loading throws, ABORTED.
 */
export async function probeModelFolder(folder: string, given: ProbeSets, options: ProbeOptions): Promise<ProbeFigures> {
  const started = Date.now()
  const tokenizer = await Tokenizer.load(folder)
  const { device = 'auto', precision = 'fp32', seed = 1, pooling = 'mean' } = options
  const agreements = options.agreements && (await chosenAgreements(folder, options.agreements))
  const parts = { agreements: agreements?.config, heads: [], mixes: [], adapters: [] }
  const { model, config } = await loadModel(folder, { device, precision, ...parts })
  try {
    const run = new ProbeRun(options, config.encoder, tokenizer)
    await makeOutput(options.folder)
    const opening = Date.now()
    const sets = typeof given === 'function' ? await given() : given
    const dataSeconds = (Date.now() - opening) / 1000
    if (sets.length === 0) throw new StrataError('BAD_DATA', 'there is no task to probe; at least one was expected')
    for (const group of groupsOf(sets, run.bytesOfUnit(), options.maxCacheBytes ?? DEFAULT_CACHE_BYTES)) {
      await run.probeGroup(model, group)
    }
    const tasks = sets.map(({ name }) => {
      const task = run.tasks.get(name)!
      const note = unconvergedNote(task)
      return note === undefined ? task : { ...task, notes: [...task.notes, note] }
    })
    return {
      checkpoint: folder,
      encoder: config.encoder,
      agreements: agreements?.shown ?? (config.agreements && relationsOf(config.agreements)),
      pooling,
      precision: model.precision,
      device: model.device,
      seed,
      tasks,
      summary: summaryOf(tasks),
      cost: {
        seconds: { total: (Date.now() - started) / 1000, data: dataSeconds, ...run.seconds },
        tokens: run.tokens,
        sentences: run.sentences,
        peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      },
    }
  } finally {
    await model.dispose()
  }
}

interface Group {
  plan: UnitPlan
  sets: PlannedSet[]
}

/** Tasks that go through the encoder together: as many as the file holds. Sentences that they share are encoded once. */
function groupsOf(sets: readonly ProbeSet[], bytesOfUnit: number, most: number): Group[] {
  const groups: Group[] = []
  for (const set of sets) {
    const alone = new UnitPlan()
    const planned = alone.add(set)
    checkSet(planned)
    const last = groups.at(-1)
    if (last && (last.plan.count + alone.count) * bytesOfUnit <= most) last.sets.push(last.plan.add(set))
    else groups.push({ plan: alone, sets: [planned] })
  }
  return groups
}

/** Layers by number and by their place in the cached features. */
interface Layers {
  cached: number[]
  read: { layer: number; place: number }[]
  mixed: number[]
}

function layersOf(wanted: ProbeOptions['layers'], { layers: top }: EncoderConfig): Layers {
  const all = Array.from({ length: top + 1 }, (_, layer) => layer)
  const chosen = [...new Set(wanted ?? [...all, 'mix' as const])]
  if (chosen.length === 0) throw new StrataError('BAD_ARGUMENT', 'layers are empty; at least one was expected')
  for (const layer of chosen) {
    if (layer === 'mix' || all.includes(layer)) continue
    throw new StrataError('BAD_ARGUMENT', `layer came as ${layer}, expected 0 … ${top} or mix`)
  }
  const mix = chosen.includes('mix')
  const numbers = chosen.filter((layer) => layer !== 'mix').sort((a, b) => a - b)
  const cached = mix ? all.filter((layer) => layer > 0 || numbers.includes(layer)) : numbers
  const place = (layer: number) => cached.indexOf(layer)
  return {
    cached,
    read: numbers.map((layer) => ({ layer, place: place(layer) })),
    mixed: mix ? all.slice(1).map(place) : [],
  }
}

class ProbeRun {
  readonly tasks = new Map<string, ProbedTask>()
  readonly seconds = { encoder: 0, randomEncoder: 0, classifiers: 0 }
  tokens = 0
  sentences = 0
  readonly #options: ProbeOptions
  readonly #encoder: EncoderConfig
  readonly #tokenizer: Tokenizer
  readonly #layers: Layers
  readonly #controls: readonly ProbeControl[]

  constructor(options: ProbeOptions, encoder: EncoderConfig, tokenizer: Tokenizer) {
    this.#options = options
    this.#encoder = encoder
    this.#tokenizer = tokenizer
    this.#layers = layersOf(options.layers, encoder)
    this.#controls = options.controls ?? PROBE_CONTROLS
  }

  bytesOfUnit(): number {
    return this.#layers.cached.length * this.#encoder.hiddenSize * 4
  }

  async probeGroup(model: Model, { plan, sets }: Group): Promise<void> {
    const { pooling = 'mean', maxTokens = this.#encoder.maxPositions, onProgress } = this.#options
    let last = Date.now()
    const lap = (part: keyof ProbeRun['seconds']) => {
      this.seconds[part] += (Date.now() - last) / 1000
      last = Date.now()
    }
    const encoded = await encodeUnits(plan, this.#tokenizer, {
      maxTokens,
      pooling,
      onProgress: (done, total) => onProgress?.(`tokenising sentence ${done} of ${total}`),
    })
    this.tokens += encoded.tokens
    this.sentences += plan.texts.size
    await this.#withFeatures(model, encoded, this.#layers.cached, 'encoder', async (probe, rowOf) => {
      lap('encoder')
      for (const set of sets) await this.#probeSet(probe, set, placeSet(set, rowOf), encoded.cut)
      lap('classifiers')
    })
    const { read } = this.#layers
    if (!this.#controls.includes('random-encoder') || read.length === 0) return
    const { seed = 1, classifiers = ['logistic'] } = this.#options
    const { precision, device } = model
    await using random = await Model.create(
      { encoder: this.#encoder, heads: [] },
      { seed, precision, device: device as Device },
    )
    const places = read.map(({ layer }, place) => ({ layer, place }))
    await this.#withFeatures(
      random,
      encoded,
      read.map(({ layer }) => layer),
      'random encoder',
      async (probe, rowOf) => {
        lap('randomEncoder')
        for (const set of sets) {
          const task = this.tasks.get(set.set.name)!
          const began = Date.now()
          task.controls.randomEncoder = await probeRandomEncoder(probe, placeSet(set, rowOf), {
            layers: places,
            classifiers,
            seed,
            onProgress: (what) => onProgress?.(`${task.name}: ${what}`),
          })
          task.seconds += (Date.now() - began) / 1000
        }
        lap('classifiers')
      },
    )
  }

  /** Lets `work` use the states of a model, which lie in a file meanwhile. */
  async #withFeatures(
    model: Model,
    encoded: EncodedUnits,
    layers: readonly number[],
    what: string,
    work: (probe: Probe, rowOf: Int32Array) => Promise<void>,
  ): Promise<void> {
    const { folder, maxBatchTokens = 4096, signal, onProgress } = this.#options
    const path = await cachePath(folder)
    const started = Date.now()
    const { features, rowOf } = await cacheFeatures(model, encoded, {
      layers,
      path,
      maxBatchTokens,
      signal,
      onProgress: (done, total) => {
        const left = ((Date.now() - started) / 1000) * (total / done - 1)
        onProgress?.(`${what}: ${done} of ${total} tokens, ${left.toFixed(0)} s left`)
      },
    })
    try {
      await using probe = await Probe.open(features)
      await work(probe, rowOf)
    } finally {
      await rm(path, { force: true })
    }
  }

  async #probeSet(probe: Probe, planned: PlannedSet, placed: PlacedSet, cut: number): Promise<void> {
    const { set } = planned
    const { classifiers = ['logistic'], seed = 1, signal, onProgress, onPredictions } = this.#options
    if (signal?.aborted) throw new StrataError('ABORTED', 'the probing was aborted by its signal')
    const started = Date.now()
    const say = (what: string) => onProgress?.(`${set.name}: ${what}`)
    const has = (control: ProbeControl) => this.#controls.includes(control)
    const { data, classes } = placed
    const options = {
      ...this.#layers,
      layers: this.#layers.read,
      classifiers,
      controlTask: has('control-task'),
      seed,
      onProgress: say,
    }
    const cells = await probeLayers(
      probe,
      placed,
      options,
      onPredictions && ((cell, predictions) => onPredictions(planned, cell, data.test.labels, predictions)),
    )
    const controls: ProbedTask['controls'] = {}
    if (has('bag-of-words')) {
      say('bag of words')
      controls.bagOfWords = await probeBagOfWords(probe, planned)
    }
    this.tasks.set(set.name, {
      name: set.name,
      kind: set.kind,
      classes,
      train: data.train.labels.length,
      dev: data.dev.labels.length,
      test: data.test.labels.length,
      source: set.source,
      notes: [...set.notes, ...notesOf(placed, classifiers, cut)],
      majority: has('majority') ? majorityAccuracy(data, classes) : undefined,
      controls,
      cells,
      seconds: (Date.now() - started) / 1000,
    })
  }
}

function notesOf(
  { dropped, classes, data }: PlacedSet,
  classifiers: readonly ProbeClassifier[],
  cut: number,
): string[] {
  const notes: string[] = []
  const lost = dropped.train + dropped.dev + dropped.test
  if (lost > 0) {
    notes.push(
      `${lost} examples (${dropped.train} train, ${dropped.dev} dev, ${dropped.test} test) have a word that the encoder cannot read (no piece of its own, or behind the longest input) and are left out`,
    )
  }
  if (cut > 0) notes.push(`${cut} sentences of all tasks together were cut at the longest input`)
  if (classifiers.includes('mlp') && classes > MOST_MLP_CLASSES) {
    notes.push(
      `no MLP: with more than ${MOST_MLP_CLASSES} classes logistic regression alone, as SentEval does for word content`,
    )
  }
  const missing = classes - new Set(data.train.labels).size
  if (missing > 0) notes.push(`${missing} of ${classes} classes have no training example`)
  return notes
}

function summaryOf(tasks: readonly ProbedTask[]): ProbeReport['summary'] {
  const summary: ProbeReport['summary'] = { bestLayer: {}, centroid: {}, mixCentre: {} }
  for (const { name, cells } of tasks) {
    const classifier = cells[0]?.classifier
    const own = cells.filter((cell) => cell.classifier === classifier)
    const layers = own.flatMap(({ layer, ...cell }) => (layer === 'mix' ? [] : [{ layer, ...cell }]))
    const best = bestLayer(layers)
    const centroid = layerCentroid(layers)
    const shares = own.find(({ layer }) => layer === 'mix')?.mixWeights
    if (best !== undefined) summary.bestLayer[name] = best
    if (centroid !== undefined) summary.centroid[name] = centroid
    if (shares) summary.mixCentre[name] = shares.reduce((sum, share, index) => sum + share * (index + 1), 0)
  }
  return summary
}

async function makeOutput(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw fileError(error, folder, 'use the output folder')
  })
}

/** A name that no other call has; what a killed run left is removed. */
async function cachePath(folder: string): Promise<string> {
  try {
    for (const name of await readdir(folder)) {
      if (isLeftover(folder, name, CACHE_PREFIX)) await rm(join(folder, name), { force: true })
    }
  } catch (error) {
    throw fileError(error, folder, 'use the output folder')
  }
  return join(folder, temporaryName(CACHE_PREFIX))
}
