/**
 * Cramming's training step beside a PyTorch script that is tuned as a rival: `npm run bench:crammed -- [--json] [--short] [--no-tuning]
 * [--rounds N] [--save]`.
 *
 * Crammed BERT of 6 × 512 (crammed-shape.ts) trains on the same enwiki batches, 16 sequences of exactly 128 tokens each, in four programs:
 * ours and the script (peers/crammed_tuned.py), each in float32 and in bfloat16. They take turns in short rounds, each in a process of its
 * own. A ratio is the median over the rounds of ours ÷ theirs in the same round: `bf16` and `fp32` compare like with like, `best` takes of
 * each side the precision that is faster on this machine. Before the rounds the script's choices are tried one after the other and the
 * fastest of each precision are taken; the trials stand in the result.
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { readBatchFile } from './batch-file.js'
import { CRAMMED_BATCH_TOKENS, CRAMMED_ENCODER, CRAMMED_SEQUENCE_TOKENS } from './crammed-shape.js'
import { enwikiPackedBatches } from './enwiki-batches.js'
import { PeerProcess } from './peer-process.js'
import {
  instructionSet,
  median,
  type Precision,
  python,
  ratioOf,
  runFacts,
  saveResult,
  say,
  sum,
  THREADS,
  type Turn,
  takeTurns,
} from './rounds.js'

const PRECISIONS: readonly Precision[] = ['bf16', 'fp32']
/** In bf16 the script reaches its pace after some ten steps. */
const WARM_UP_STEPS = 12
/** Steps of one turn: two to eight seconds. */
const TURN_STEPS = 6
const TRIAL_STEPS = 8

/** The script's choices, the first of each is what it begins with. */
const CHOICES = {
  attention: ['sdpa', 'plain'],
  embedding: ['leaf', 'tied'],
  compile: ['default', 'max-autotune'],
} as const
type Setting = { -readonly [Choice in keyof typeof CHOICES]: (typeof CHOICES)[Choice][number] }

interface Trial extends Setting {
  precision: Precision
  /** Median of a step; null for a setting that does not run here. */
  milliseconds: number | null
}

interface Setup {
  batchFile: string
  interpreter: string
  isa: Record<string, string>
}

function ours({ batchFile, isa }: Setup, precision: Precision): PeerProcess {
  const script = path.join(__dirname, 'ours-crammed.ts')
  const command = [process.execPath, '--import', 'tsx', script, batchFile, precision]
  return new PeerProcess(`stratabert-${precision}`, command, { OMP_NUM_THREADS: String(THREADS), ...isa })
}

function theirs({ batchFile, interpreter, isa }: Setup, precision: Precision, setting: Setting): PeerProcess {
  const { vocabSize, layers, hiddenSize, heads, intermediateSize } = CRAMMED_ENCODER
  const numbers = {
    vocabulary: vocabSize,
    layers,
    hidden: hiddenSize,
    heads,
    intermediate: intermediateSize,
    length: CRAMMED_SEQUENCE_TOKENS,
    threads: THREADS,
  }
  const flags = Object.entries({ batches: batchFile, precision, ...numbers, ...setting })
  const command = [interpreter, path.join(__dirname, 'peers/crammed_tuned.py')]
  for (const [name, value] of flags) command.push(`--${name}`, String(value))
  // Huge pages for torch's allocator: part of the tuning.
  const environment = { OMP_NUM_THREADS: String(THREADS), THP_MEM_ALLOC_ENABLE: '1', ...isa }
  return new PeerProcess(`torch-${precision}`, command, environment)
}

const FIRST: Setting = { attention: 'sdpa', embedding: 'leaf', compile: 'default' }

/** Changes one choice after the other and keeps what is faster. */
async function tuned(setup: Setup, precision: Precision, trials: Trial[]): Promise<Setting> {
  let [best, least] = [FIRST, await tried(setup, precision, FIRST, trials)]
  for (const choice of Object.keys(CHOICES) as (keyof typeof CHOICES)[]) {
    for (const value of CHOICES[choice].slice(1)) {
      const setting = { ...best, [choice]: value } as Setting
      const milliseconds = await tried(setup, precision, setting, trials)
      if (milliseconds < least) [best, least] = [setting, milliseconds]
    }
  }
  return best
}

/** Median milliseconds of a step; Infinity for a setting that does not run. */
async function tried(setup: Setup, precision: Precision, setting: Setting, trials: Trial[]): Promise<number> {
  const peer = theirs(setup, precision, setting)
  let milliseconds: number | null = null
  try {
    await peer.ready()
    await peer.steps(0, WARM_UP_STEPS)
    milliseconds = 1000 * median((await peer.steps(WARM_UP_STEPS, TRIAL_STEPS)).seconds)
  } catch (error) {
    say(`${peer.name} does not run with ${JSON.stringify(setting)}: ${(error as Error).message}`)
  } finally {
    await peer.quit()
  }
  trials.push({ precision, ...setting, milliseconds })
  say(`${peer.name} ${JSON.stringify(setting)}: ${milliseconds?.toFixed(0) ?? '–'} ms`)
  return milliseconds ?? Number.POSITIVE_INFINITY
}

/** Forward and backward FLOPs of a token: 6 × the weights it meets, the decoder at masked positions only. */
function trainingFlopsPerToken(maskedShare: number): number {
  const { layers, hiddenSize: H, intermediateSize: F, vocabSize } = CRAMMED_ENCODER
  return 6 * layers * (4 * H * H + H * F + (H * F) / 2) + 6 * maskedShare * H * vocabSize
}

/** Both sides must have made the same model. */
async function checkParameters(peers: readonly PeerProcess[]): Promise<number> {
  const counts: number[] = []
  for (const peer of peers) counts.push(Number((await peer.ready()).parameters))
  if (counts.every((count) => count === counts[0])) return counts[0]
  const told = peers.map(({ name }, index) => `${name} ${counts[index]}`).join(', ')
  throw new Error(`the programs' models differ in their number of parameters: ${told}`)
}

interface Row {
  program: string
  tokensPerSecond: number
  millisecondsPerStep: number
  peakRssBytes: number
  /** Share of the matmul rate that torch reaches in the same precision and rounds. */
  matmulShare: number
  lastLoss: number
}

/** The precision in which a program's median rate is higher. */
function bestOf(turns: ReadonlyMap<string, readonly Turn[]>, program: string): string {
  const rate = (name: string) => median(turns.get(name)!.map((turn) => turn.rate))
  const names = PRECISIONS.map((precision) => `${program}-${precision}`)
  return names.reduce((best, name) => (rate(name) > rate(best) ? name : best))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      'no-tuning': { type: 'boolean', default: false },
      rounds: { type: 'string' },
    },
  })
  const rounds = Number(values.rounds ?? (values.short ? 3 : 7))
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds came as ${values.rounds}; a whole number ≥ 1 was expected`)
  const interpreter = python()
  const isa = instructionSet(interpreter)
  const batchFile = await enwikiPackedBatches(CRAMMED_BATCH_TOKENS, CRAMMED_ENCODER.vocabSize)
  const setup = { batchFile, interpreter, isa }
  const batches = readBatchFile(batchFile)
  const maskedShare =
    sum(batches.map(({ labels }) => labels.mlm.labels.length)) / sum(batches.map(({ tokenIds }) => tokenIds.length))

  const trials: Trial[] = []
  const settings = { bf16: FIRST, fp32: FIRST }
  if (!values.short && !values['no-tuning'])
    for (const precision of PRECISIONS) settings[precision] = await tuned(setup, precision, trials)

  const peers = PRECISIONS.flatMap((precision) => [
    ours(setup, precision),
    theirs(setup, precision, settings[precision]),
  ])
  try {
    const parameters = await checkParameters(peers)
    const gemm: Record<Precision, number[]> = { bf16: [], fp32: [] }
    const { turns, disturbed } = await takeTurns(peers, {
      label: 'crammed',
      rounds,
      warmUpSteps: WARM_UP_STEPS,
      stepsOf: () => TURN_STEPS,
      tell: (rate) => `${rate.toFixed(0)} tok/s`,
      beforeRound: async () => {
        for (const precision of PRECISIONS)
          gemm[precision].push((await peers[1].ask<{ gflops: number }>({ command: 'gemm', precision })).gflops)
      },
      isReady: true,
    })
    const rows: Row[] = []
    for (const peer of peers) {
      const own = turns.get(peer.name)!
      const precision = peer.name.endsWith('bf16') ? 'bf16' : 'fp32'
      const tokensPerSecond = median(own.map((turn) => turn.rate))
      rows.push({
        program: peer.name,
        tokensPerSecond,
        millisecondsPerStep: median(own.map((turn) => turn.ms)),
        peakRssBytes: (await peer.ask<{ peakRssBytes: number }>({ command: 'memory' })).peakRssBytes,
        matmulShare: (tokensPerSecond * trainingFlopsPerToken(maskedShare)) / (1e9 * median(gemm[precision])),
        lastLoss: own.at(-1)!.loss,
      })
    }
    const best = { ours: bestOf(turns, 'stratabert'), theirs: bestOf(turns, 'torch') }
    const result = {
      name: 'crammed',
      ...runFacts(isa),
      precision: 'bf16-fp32',
      batchTokens: CRAMMED_BATCH_TOKENS,
      parameters,
      rounds,
      disturbedRounds: disturbed,
      matmulGflops: { bf16: median(gemm.bf16), fp32: median(gemm.fp32) },
      settings,
      trials,
      rows,
      best,
      ratios: {
        bf16: ratioOf(turns, 'stratabert-bf16', 'torch-bf16'),
        fp32: ratioOf(turns, 'stratabert-fp32', 'torch-fp32'),
        best: ratioOf(turns, best.ours, best.theirs),
      },
    }
    if (values.save) saveResult(result)
    if (values.json) console.log(JSON.stringify(result, null, 2))
    else {
      console.table(rows)
      console.log(result.ratios, `${disturbed} of ${rounds} rounds disturbed`)
    }
  } finally {
    await Promise.all(peers.map((peer) => peer.quit()))
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
