/**
 * Which attention at which length: `npx tsx benchmarks/attention.ts [--json] [--rounds 3]`.
 *
 * Training steps (forward and backward, float32, no dropout) of 4 post-LN blocks of 512 on 2,048 tokens in sequences of one length: with our kernel
 * for packed sequences (`fast`), with plain products and softmax over padded ones (`portable`), and beside them PyTorch's flash attention and plain
 * attention in the same blocks (peers/attention.py). The programs take turns; a figure is the median over the rounds.
 */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { PackedBatch } from '../lib/data/index.js'
import { computeThreads, encoderConfig, Model } from '../lib/model/index.js'
import { median, python, ROOT, runFacts, say, THREADS } from './rounds.js'

const [TOKENS, VOCABULARY, STEPS] = [2048, 1000, 3]
const LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048]
const KERNELS = ['fast', 'portable'] as const

function batchOf(length: number): PackedBatch {
  const positions = Int32Array.from({ length: 16 }, (_, index) => index * (TOKENS / 16))
  return {
    tokenIds: Int32Array.from({ length: TOKENS }, (_, token) => (token * 7919) % VOCABULARY),
    segmentIds: new Int32Array(TOKENS),
    sequenceOffsets: Int32Array.from({ length: TOKENS / length + 1 }, (_, sequence) => sequence * length),
    labels: { mlm: { positions, labels: positions.map((position) => position % VOCABULARY) } },
  }
}

/** Milliseconds a step by length. */
async function ours(kernels: (typeof KERNELS)[number]): Promise<Record<string, number>> {
  const encoder = encoderConfig({
    vocabSize: VOCABULARY,
    layers: 4,
    hiddenSize: 512,
    heads: 8,
    intermediateSize: 2048,
    maxPositions: TOKENS,
  })
  const heads = [{ kind: 'masked-lm' as const, name: 'mlm', tap: { layer: 4 }, weight: 1 }]
  await using model = await Model.create({ encoder, heads }, { device: 'cpu', precision: 'fp32', seed: 1, kernels })
  const found: Record<string, number> = {}
  for (const length of LENGTHS) {
    const batch = batchOf(length)
    const times: number[] = []
    for (let step = 0; step <= STEPS; step++) {
      const begin = performance.now()
      await (await model.step(batch)).read()
      times.push(performance.now() - begin)
    }
    found[length] = median(times.slice(1))
  }
  return found
}

function theirs(): Record<string, Record<string, number>> {
  const script = path.join(ROOT, 'benchmarks/peers/attention.py')
  const args = [script, '--lengths', LENGTHS.join(), '--tokens', String(TOKENS), '--steps', String(STEPS)]
  return JSON.parse(execFileSync(python(), [...args, '--threads', String(THREADS)], { encoding: 'utf8' }))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '3' } },
  })
  const threads = computeThreads(THREADS)
  const rounds: Record<string, Record<string, number>>[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    const turn: Record<string, Record<string, number>> = {}
    for (const kernels of KERNELS) turn[kernels] = await ours(kernels)
    rounds.push({ ...turn, ...theirs() })
    say(`round ${round + 1}/${values.rounds}`)
  }
  const rows = LENGTHS.map((length) => ({
    length,
    ...Object.fromEntries(Object.keys(rounds[0]).map((name) => [name, median(rounds.map((one) => one[name][length]))])),
  }))
  if (values.json)
    console.log(JSON.stringify({ name: 'attention', ...runFacts({}, threads), rounds: rounds.length, rows }, null, 2))
  else console.table(rows)
}

void main()
