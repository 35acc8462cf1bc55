/**
 * Probing beside transformers and scikit-learn: `npx tsx benchmarks/probe.ts --model DIR --probes DIR --output DIR [--tasks …] [--same-features
 * [--layers 0,3]] [--threads 2]`.
 *
 * Without `--same-features`: `stratabert probe` (logistic regression, no controls but the majority) and benchmarks/peers/probe_sklearn.py, each a process of
 * its own from texts to accuracies, one after the other; a table of every cell, whether scikit-learn's accuracy lies in our 95 % interval, and
 * the ratio of the times.
 *
 * With it: our classifier on the very numbers that transformers made (the peer writes them), every layer and strength of l2, against
 * scikit-learn run to convergence (float64, tolerance 1e-8): the largest difference in test accuracy. Use few tasks: scikit-learn takes its time.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { ProbeReport } from '../lib/evaluation/index.js'
import { computeThreads, Probe, type ProbeData } from '../lib/model/index.js'
import { python } from './rounds.js'

interface PeerReport {
  layers: number[]
  hiddenSize: number
  seconds: number
  peakMemoryBytes: number
  tasks: {
    name: string
    classes: number
    train: number
    dev: number
    test: number
    features?: string
    labels?: number[]
    encoderSeconds: number
    cells: { layer: number; l2: number; accuracy: number; grid: PeerFit[] }[]
  }[]
}

interface PeerFit {
  l2: number
  devAccuracy: number
  testAccuracy: number
  iterations: number
  converged: boolean
  seconds: number
}

const ROOT = path.resolve(__dirname, '..')
const percent = (share: number) => (100 * share).toFixed(1)

function run(command: string, args: readonly string[], threads: string): void {
  const { status } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, OMP_NUM_THREADS: threads },
  })
  if (status !== 0) throw new Error(`${command} ended with ${status}; its messages stand above`)
}

function peer(options: Options, more: readonly string[]): PeerReport {
  const output = path.join(options.output, 'sklearn.json')
  const args = ['--model', options.model, '--probes', options.probes, '--output', output, '--threads', options.threads]
  if (options.tasks) args.push('--tasks', options.tasks)
  run(python(), [path.join(ROOT, 'benchmarks/peers/probe_sklearn.py'), ...args, ...more], options.threads)
  return JSON.parse(readFileSync(output, 'utf8')) as PeerReport
}

interface Options {
  model: string
  probes: string
  output: string
  tasks?: string
  /** Of --same-features; default all. */
  layers?: string
  threads: string
}

/** From texts to accuracies, both sides. */
function wholeWay(options: Options): string[] {
  const output = path.join(options.output, 'ours')
  const args = [
    '--data',
    `probes=${options.probes}`,
    '--controls',
    'majority',
    '--precision',
    'fp32',
    '--output',
    output,
  ]
  const numbers = Array.from({ length: layerCount(options.model) + 1 }, (_, layer) => layer)
  if (options.tasks) args.push('--tasks', options.tasks)
  run(
    'npx',
    ['tsx', 'lib/cli/main.ts', 'probe', options.model, ...args, '--layers', numbers.join(',')],
    options.threads,
  )
  const ours = JSON.parse(readFileSync(path.join(output, 'probes.json'), 'utf8')) as ProbeReport
  const theirs = peer(options, [])
  const lines = ['| task | layer | ours | 95 % | scikit-learn | inside |', '|---|---:|---:|---|---:|---|']
  let [inside, cells, largest] = [0, 0, 0]
  for (const task of theirs.tasks) {
    for (const { layer, accuracy } of task.cells) {
      const own = ours.tasks.find(({ name }) => name === task.name)?.cells.find((cell) => cell.layer === layer)
      if (!own) throw new Error(`${task.name} layer ${layer} is missing in ${output}`)
      const [low, high] = own.interval
      const within = low <= accuracy && accuracy <= high
      inside += Number(within)
      cells++
      largest = Math.max(largest, Math.abs(accuracy - own.accuracy))
      lines.push(
        `| ${task.name} | ${layer} | ${percent(own.accuracy)} | ${percent(low)} … ${percent(high)} | ${percent(accuracy)} | ${within ? 'yes' : 'no'} |`,
      )
    }
  }
  const { seconds, peakMemoryBytes } = ours.cost
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`
  return [
    ...lines,
    '',
    `${inside} of ${cells} cells inside; largest difference ${(100 * largest).toFixed(2)} points`,
    `ours ${seconds.total.toFixed(0)} s (encoder ${seconds.encoder.toFixed(0)}, classifiers ${seconds.classifiers.toFixed(0)}), ${mebibytes(peakMemoryBytes)}; ` +
      `transformers + scikit-learn ${theirs.seconds.toFixed(0)} s, ${mebibytes(theirs.peakMemoryBytes)}; ratio ${(theirs.seconds / seconds.total).toFixed(1)}`,
  ]
}

/** The classifier alone, on the same numbers. */
async function sameFeatures(options: Options): Promise<string[]> {
  const features = path.join(options.output, 'features')
  const theirs = peer(options, [
    '--features',
    features,
    '--converged',
    ...(options.layers ? ['--layers', options.layers] : []),
  ])
  computeThreads(Number(options.threads))
  const lines = [
    '| task | layer | l2 | ours | scikit-learn | difference, points | steps ours / theirs | seconds ours / theirs |',
    '|---|---:|---:|---:|---:|---:|---|---|',
  ]
  let largest = 0
  for (const { name, classes, train, dev, test, labels = [], features: file, cells } of theirs.tasks) {
    const units = train + dev + test
    const split = (first: number, count: number) => ({
      rows: Int32Array.from({ length: count }, (_, index) => first + index),
      labels: Int32Array.from(labels.slice(first, first + count)),
    })
    const data: ProbeData = { train: split(0, train), dev: split(train, dev), test: split(train + dev, test) }
    await using probe = await Probe.open({ units, layers: theirs.layers.length, width: theirs.hiddenSize, path: file })
    for (const [place, { layer, grid }] of cells.entries()) {
      for (const fit of grid) {
        const started = performance.now()
        const own = await probe.logistic(data, place, { classes, l2: [fit.l2] })
        const seconds = (performance.now() - started) / 1000
        const accuracy = own.testRight / test
        largest = Math.max(largest, Math.abs(accuracy - fit.testAccuracy))
        lines.push(
          `| ${name} | ${layer} | ${fit.l2} | ${percent(accuracy)} | ${percent(fit.testAccuracy)} | ${(100 * (accuracy - fit.testAccuracy)).toFixed(2)} | ` +
            `${own.grid[0].iterations} / ${fit.iterations}${fit.converged ? '' : ' (not converged)'} | ${seconds.toFixed(2)} / ${fit.seconds.toFixed(2)} |`,
        )
      }
    }
  }
  return [...lines, '', `largest difference: ${(100 * largest).toFixed(2)} points`]
}

function layerCount(model: string): number {
  return (JSON.parse(readFileSync(path.join(model, 'config.json'), 'utf8')) as { num_hidden_layers: number })
    .num_hidden_layers
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      probes: { type: 'string' },
      output: { type: 'string' },
      tasks: { type: 'string' },
      layers: { type: 'string' },
      threads: { type: 'string', default: '2' },
      'same-features': { type: 'boolean', default: false },
    },
  })
  const { model, probes, output } = values
  if (!model || !probes || !output) throw new Error('--model, --probes and --output are needed')
  mkdirSync(output, { recursive: true })
  const options: Options = {
    model,
    probes,
    output,
    tasks: values.tasks,
    layers: values.layers,
    threads: values.threads,
  }
  const lines = values['same-features'] ? await sameFeatures(options) : wholeWay(options)
  console.log(lines.join('\n'))
  writeFileSync(path.join(output, values['same-features'] ? 'same-features.md' : 'table.md'), `${lines.join('\n')}\n`)
}

void main()
