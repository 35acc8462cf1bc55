/**
 * Fine-tuning throughput of the GPU machine check: a pair classifier with dropout on batches of 32 synthetic pairs whose lengths are
 * spread as MRPC's are, beside transformers' BertForSequenceClassification on the same pairs where that is installed.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { writeBatchFile } from '../benchmarks/batch-file.js'
import { type PackedBatch, packSequences } from '../lib/data/packed-batch.js'
import { stream } from '../lib/data/random.js'
import { deviceMemory, encoderConfig, type HeadConfig, Model, Optimizer, type Precision } from '../lib/model/index.js'
import { parameterGroups } from '../lib/training/index.js'
import type { Side } from '../test/helpers/device-checks.js'

const VOCABULARY = 30522
const HEAD = 'pairs'
const BATCH_SEQUENCES = 32

export interface FinetuneSetting {
  side: Side
  device: string
  shape: 'tiny' | 'base'
  encoder: { layers: number; hiddenSize: number; heads: number }
  warmup: number
  steps: number
  rounds: number
  python: string
  /** Folder of gpu_finetune.py. */
  peers: string
  /** Folder for the batch file. */
  work: string
  say: (text: string) => void
}

export interface FinetuneRow {
  who: 'stratabert' | 'Hugging Face'
  precision: Precision
  /** One figure a round. */
  examplesPerSecond: number[]
  best: number
  /** GPU: of the allocator. */
  peakBytes?: number
  /** Why this program did not run. */
  skipped?: string
  /** Why it failed. */
  problem?: string
}

/** Pairs of MRPC's lengths with BERT's tokens: 53 on average with a deviation of 13, from 22 to 103. */
function mrpcBatches(count: number): PackedBatch[] {
  return Array.from({ length: count }, (_, index) => {
    const random = stream(17, 'gpu-check-finetune', index)
    const lengths = Array.from({ length: BATCH_SEQUENCES }, () =>
      Math.min(103, Math.max(22, Math.round(53 + 13 * random.normal()))),
    )
    const batch = packSequences(
      lengths.map((length) => Int32Array.from({ length }, () => Math.floor(VOCABULARY ** random.float()))),
    )
    lengths.forEach((length, i) => {
      const start = batch.sequenceOffsets[i]
      batch.segmentIds.fill(1, start + Math.ceil(length / 2), start + length)
    })
    batch.labels = { [HEAD]: { labels: Int32Array.from(lengths, () => random.below(2)) } }
    return batch
  })
}

async function ours(setting: FinetuneSetting, batches: readonly PackedBatch[], precision: Precision) {
  const { side, device, encoder, warmup, steps } = setting
  const head: HeadConfig = {
    kind: 'classifier',
    name: HEAD,
    tap: { layer: encoder.layers },
    weight: 1,
    classes: 2,
    dropout: 0.1,
    pooler: 'shared',
  }
  const dropout = { hiddenDropout: 0.1, attentionDropout: 0.1 }
  await using model = await Model.create(
    { encoder: encoderConfig({ vocabSize: VOCABULARY, ...encoder, ...dropout }), heads: [head] },
    { ...side, precision, seed: 0 },
  )
  await using optimizer = await Optimizer.create(model, {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-6,
    groups: parameterGroups(model.parameters(), { weightDecay: 0.01, layerDecay: 1 }),
  })
  const step = async (k: number) => {
    const losses = await model.step(batches[k % batches.length])
    await optimizer.step({ learningRate: 1e-4, maxGradNorm: 1 })
    return losses
  }
  let losses: Awaited<ReturnType<typeof step>> | undefined
  for (let k = 0; k < warmup; k++) await (await step(k)).read()
  if (device !== 'cpu') deviceMemory(device, { resetPeak: true })
  const start = performance.now()
  for (let k = warmup; k < warmup + steps; k++) losses = await step(k)
  await losses?.read() // waits for the device
  const seconds = (performance.now() - start) / 1000
  return {
    examplesPerSecond: (steps * BATCH_SEQUENCES) / seconds,
    peakBytes: device === 'cpu' ? undefined : deviceMemory(device).peakBytes,
  }
}

interface PeerAnswer {
  examplesPerSecond?: number
  peakBytes?: number
  skipped?: string
  problem?: string
}

function peer({ device, shape, warmup, steps, python, peers }: FinetuneSetting, file: string, precision: Precision) {
  const args = ['--batches', file, '--head', HEAD, '--shape', shape, '--precision', precision, '--device', device]
  const { status, stdout, stderr } = spawnSync(
    python,
    [join(peers, 'gpu_finetune.py'), ...args, '--warmup', String(warmup), '--steps', String(steps)],
    { encoding: 'utf8', timeout: 300_000 },
  )
  if (status !== 0) return { problem: (stderr || 'no answer').slice(-1500) } satisfies PeerAnswer
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as PeerAnswer
}

/** Ours and the peer take turns; the best round counts. */
export async function finetuneSpeed(setting: FinetuneSetting) {
  const batches = mrpcBatches(12)
  const file = join(setting.work, 'gpu-check-finetune.safetensors')
  writeBatchFile(file, batches)
  const rows: FinetuneRow[] = []
  const add = (who: FinetuneRow['who'], precision: Precision, answer: PeerAnswer) => {
    let row = rows.find((known) => known.who === who && known.precision === precision)
    if (!row) {
      row = { who, precision, examplesPerSecond: [], best: 0 }
      rows.push(row)
    }
    const { examplesPerSecond, peakBytes, skipped, problem } = answer
    if (examplesPerSecond !== undefined) row.examplesPerSecond.push(examplesPerSecond)
    row.best = Math.max(0, ...row.examplesPerSecond)
    if (peakBytes !== undefined) row.peakBytes = Math.max(row.peakBytes ?? 0, peakBytes)
    if (skipped) row.skipped = skipped
    if (problem) row.problem = problem
    setting.say(`  ${who}, ${precision}: ${skipped ?? problem ?? `${row.best.toFixed(1)} examples/s`}`)
  }
  const precisions = ['bf16', 'fp32'] as const
  for (let round = 0; round < setting.rounds; round++) {
    for (const precision of precisions) {
      try {
        add('stratabert', precision, await ours(setting, batches, precision))
      } catch (error) {
        add('stratabert', precision, { problem: (error as Error).message })
      }
      if (rows.some(({ skipped }) => skipped)) continue
      add('Hugging Face', precision, peer(setting, file, precision))
    }
  }
  const best = (who: string, precision: Precision) =>
    rows.find((row) => row.who === who && row.precision === precision)?.best || Number.NaN
  return {
    shape: setting.shape,
    examplesPerStep: BATCH_SEQUENCES,
    tokensPerExample: batches.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0) / (12 * BATCH_SEQUENCES),
    rows,
    // null in JSON where the peer did not run.
    ratios: Object.fromEntries(
      precisions.map((precision) => [precision, best('stratabert', precision) / best('Hugging Face', precision)]),
    ),
  }
}
