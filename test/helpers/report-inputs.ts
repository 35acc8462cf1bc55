/** Outputs of probe, layers and compare, and lines of runs, in the shapes that those commands write: small, with known numbers. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const LAYERS = [0, 1, 2, 3]

/** Surface falls, order of words rises, as in the textbook; the mix beside them. */
const PROBED = {
  SentLen: [0.91, 0.93, 0.82, 0.7],
  BShift: [0.5, 0.58, 0.71, 0.79],
  Tense: [0.78, 0.82, 0.86, 0.85],
}

function write(folder: string, file: string, value: unknown): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, file), typeof value === 'string' ? value : `${JSON.stringify(value, null, 2)}\n`)
  return folder
}

export function writeProbes(folder: string, more: Record<string, unknown> = {}): string {
  const around = (accuracy: number) => [accuracy - 0.02, accuracy + 0.02]
  const tasks = Object.entries(PROBED).map(([name, accuracies]) => ({
    name,
    kind: 'sentence',
    classes: name === 'SentLen' ? 6 : 2,
    train: 1000,
    dev: 200,
    test: 400,
    source: 'treebank=part.conllu, seed 1',
    notes: name === 'Tense' ? ['class Past: 190 of 200 asked'] : [],
    majority: 0.5,
    controls: {
      bagOfWords: { accuracy: 0.61, interval: around(0.61) },
      randomEncoder: LAYERS.map((layer) => ({ layer, accuracy: 0.55 + layer / 100 })),
    },
    cells: [...LAYERS, 'mix'].map((layer, i) => {
      const accuracy = accuracies[i] ?? 0.9
      return {
        layer,
        classifier: 'logistic',
        accuracy,
        interval: around(accuracy),
        l2: 0.001,
        epochs: 40,
        devAccuracy: 0.8,
        ...(layer === 'mix' && { mixWeights: [0.2, 0.5, 0.3] }),
      }
    }),
  }))
  return write(folder, 'probes.json', {
    format: 1,
    checkpoint: 'runs/first/checkpoints/step-100',
    encoder: { layers: 3, hiddenSize: 32 },
    date: '2026-01-02T03:04:05.000Z',
    command: 'npx stratabert probe runs/first --data treebank=part.conllu --output probes/first',
    versions: { stratabert: '0.1.0' },
    pooling: 'mean',
    tasks,
    summary: { bestLayer: { SentLen: 1, BShift: 3, Tense: 2 }, centroid: { SentLen: 1.2, BShift: 2.4, Tense: 2.1 } },
    leftOut: [{ task: 'SOMO', reason: 'no corpus' }],
    ...more,
  })
}

export function writeLayers(folder: string): string {
  const attention = [1, 2, 3].flatMap((layer) =>
    [0, 1, 2, 3].map((head) => ({
      layer,
      head,
      entropy: 1 + layer / 2 + head / 10,
      distance: 2 * layer + head,
      first: head / 10,
      separators: layer / 10,
    })),
  )
  return write(folder, 'layers.json', {
    format: 1,
    checkpoint: 'runs/first',
    cka: {
      unit: 'token',
      rows: 400,
      chance: 0.07,
      names: LAYERS.map(String),
      matrix: LAYERS.map((i) => LAYERS.map((j) => 1 - Math.abs(i - j) / 4)),
    },
    against: {
      checkpoint: 'runs/second',
      rowNames: LAYERS.map(String),
      columnNames: ['0', '1', '2'],
      matrix: LAYERS.map((i) => [0, 1, 2].map((j) => (i === 3 && j === 2 ? 'NaN' : 1 - Math.abs(i - j) / 5))),
    },
    attention,
    uniformAttention: { entropy: 3, distance: 8, first: 0.05, separators: 0.05 },
    mixes: { pooled: { weights: [0.5, 0.3, 0.2], gamma: 1.1, layers: [1, 2, 3] } },
    gradientNorms: [{ step: 1, stage: 'pretrain', gradientNorms: { 0: 3, 1: 2, 2: 1.5, 3: 1, heads: 4 } }],
    notes: ['the text has 40 sentences only'],
  })
}

export function writeComparison(folder: string, more: Record<string, unknown> = {}): string {
  const scores = { baseline: [0.61, 0.63, 0.62], hierarchy: [0.68, 0.66, 0.7], short: [0.5, 0.5, 0.51] }
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return write(folder, 'comparison.json', {
    format: 1,
    name: 'hierarchy',
    measures: ['rte.accuracy'],
    baseline: 'baseline',
    test: 't',
    notes: ['one run is missing'],
    variants: Object.entries(scores).map(([name, values]) => ({
      name,
      runs: values.map((value, i) => ({
        seed: i + 1,
        folder: `runs/${name}-${i + 1}`,
        status: 'done',
        learned: name !== 'short',
        values: { 'rte.accuracy': value },
        tokens: 10_000,
        steps: 20,
        seconds: 12.5,
      })),
    })),
    table: Object.entries(scores).map(([variant, values]) => {
      const row = { variant, measure: 'rte.accuracy', n: 3, mean: mean(values), standardDeviation: 0.01 }
      const interval = [mean(values) - 0.025, mean(values) + 0.025]
      if (variant === 'baseline') return { ...row, interval }
      const difference = mean(values) - mean(scores.baseline)
      const test = { difference, differenceInterval: [difference - 0.03, difference + 0.03], pValue: 0.02 }
      return { ...row, interval, ...test, adjustedPValue: 0.04, smallestDetectable: 0.05, convergenceFactor: 1.3 }
    }),
    ...more,
  })
}

export interface WrittenRun {
  steps?: number
  /** Adds values to the line of a step. */
  stepFields?: (step: number) => Record<string, unknown>
  recipe?: Record<string, unknown>
}

/** A run with two heads, a mix and pruning. */
export function writeRun(folder: string, { steps = 50, stepFields, recipe }: WrittenRun = {}): string {
  const lines: Record<string, unknown>[] = [
    { type: 'start', step: 0, parameters: 1234, trainable: 1234, stages: ['pretrain'] },
    { type: 'stage', step: 0, stage: 'pretrain', index: 0, probabilities: { pretraining: 1 } },
    { type: 'gradients', step: 1, stage: 'pretrain', gradientNorms: { 0: 3, 1: 2, 2: 1.5, 3: 1, heads: 4 } },
  ]
  for (let step = 1; step <= steps; step++) {
    const mlm = 6 * Math.exp(-step / steps) + 0.3 * Math.sin(step)
    const density = 1 - 0.9 * (1 - (1 - step / steps) ** 3)
    lines.push({
      type: 'step',
      step,
      stage: 'pretrain',
      task: 'pretraining',
      tasks: { pretraining: 1 },
      loss: mlm + 0.7,
      losses: { mlm: { loss: mlm, lossSum: mlm * 10, count: 10 }, nsp: { loss: 0.7, lossSum: 7, count: 10 } },
      learningRate: 1e-3 * (1 - step / steps),
      gradNorm: 2 + Math.cos(step),
      tokens: step * 100,
      tokensPerSecond: 5000 + step,
      elapsedSeconds: step / 50,
      pruning: {
        targetDensity: density,
        density: density + 0.001,
        byLayer: { 1: density, 2: density * 0.9, 3: density * 0.8 },
      },
      ...stepFields?.(step),
    })
    if (step % Math.ceil(steps / 5) === 0)
      lines.push({
        type: 'evaluation',
        step,
        stage: 'pretrain',
        scores: { mlm: { head: 'mlm', layer: 3, count: 50, loss: mlm, accuracy: 1 - mlm / 10 } },
        tasks: { rte: { dev: { main: 0.6, loss: 0.65, count: 277, metrics: { accuracy: 0.5 + step / steps / 10 } } } },
        mean: 0.6,
        mixes: { pooled: { weights: [0.2, 0.3, 0.5], gamma: 1 + step / 100 } },
        seconds: 0.1,
      })
  }
  lines.push({ type: 'end', step: steps, status: 'completed', tokens: steps * 100, elapsedSeconds: steps / 50 })
  const notFinite = (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
  write(folder, 'metrics.jsonl', lines.map((line) => `${JSON.stringify(line, notFinite)}\n`).join(''))
  write(folder, 'recipe.resolved.json', { name: 'tiny', seed: 1, encoder: { layers: 3 }, ...recipe })
  return write(folder, 'environment.json', [
    {
      startedAt: '2026-01-02T03:04:05.000Z',
      command: ['/usr/bin/node', '/somewhere/lib/cli/main.ts', 'train', 'tiny.json', '--output', 'runs/a b'],
      workingFolder: '/somewhere',
      versions: { stratabert: '0.1.0', node: '20.17.0' },
      machine: { processor: 'one', processors: 2 },
      git: { commit: '0123abc', dirty: true },
    },
  ])
}
