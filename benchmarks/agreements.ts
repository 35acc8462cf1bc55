/**
 * What agreements cost a step: `npm run bench:agreements -- [--json] [--short] [--threads N] [--save]`.
 *
 * The crammed encoder of 6 × 512 (vocabulary 32,768, masked LM on a quarter of 2,048 tokens in sequences of 128, AdamW, clip 0.5) in
 * float32 trains alone, with four submodels of 2 × 128 in its input (`stage2`, submodels detached), and the submodels train alone
 * (`stage1`). The three take turns in one process on the same random tokens, cut into sentences of about 25 tokens and chunks of about
 * 1.75. A ratio is the median over the rounds of encoder alone ÷ with agreements, in time and in processor time; the latter says less about
 * threads that wait and stays meaningful on a busy machine.
 */
import { parseArgs } from 'node:util'
import { NO_LABEL, type PackedBatch } from '../lib/data/packed-batch.js'
import { stream } from '../lib/data/random.js'
import { type AgreementConfig, computeThreads, type HeadConfig, Model, Optimizer } from '../lib/model/index.js'
import { parameterGroups, reachedParameters } from '../lib/training/parameter-groups.js'
import {
  CRAMMED_ADAMW,
  CRAMMED_BATCH_TOKENS,
  CRAMMED_ENCODER,
  CRAMMED_HEAD,
  CRAMMED_MAX_GRAD_NORM,
  CRAMMED_SEQUENCE_TOKENS,
  CRAMMED_WEIGHT_DECAY,
} from './crammed-shape.js'
import { BUSY_SHARE, busyShare, median, runFacts, saveResult, say, THREADS } from './rounds.js'

const [TOKENS, SEQUENCE, VOCABULARY] = [CRAMMED_BATCH_TOKENS, CRAMMED_SEQUENCE_TOKENS, CRAMMED_ENCODER.vocabSize]
const RELATIONS = ['subj', 'obj', 'nmod', 'obl']
const AGREEMENTS: AgreementConfig = {
  relations: RELATIONS,
  size: 128,
  layers: 2,
  heads: 2,
  intermediateSize: 512,
  gateInit: 0.1,
}
const HEADS: HeadConfig[] = RELATIONS.map((relation) => ({ kind: 'agreement', name: relation, relation, weight: 1 }))
const ARMS = { encoder: ['mlm'], stage2: ['mlm'], stage1: RELATIONS } as const
type Arm = keyof typeof ARMS

interface Row {
  arm: Arm
  millisecondsPerStep: number
  processorMillisecondsPerStep: number
  tokensPerSecond: number
}

function randomBatch(seed: number): PackedBatch {
  const random = stream(seed, 1)
  const tokenIds = Int32Array.from({ length: TOKENS }, () => random.below(VOCABULARY))
  const ids = new Int32Array(TOKENS)
  const sentences: number[] = []
  const targets: number[] = []
  const positions: number[] = []
  for (let token = 0; token < TOKENS; token++) {
    const starts = token % SEQUENCE === 0 || random.below(25) === 0
    if (starts || random.below(100) < 55) {
      sentences.push((sentences.at(-1) ?? 0) + (starts ? 1 : 0))
      targets.push(starts ? NO_LABEL : random.below(3) === 0 ? sentences.length - 2 : -1)
    }
    ids[token] = sentences.length - 1
    if (token % 4 === 0) positions.push(token)
  }
  const agreement = { labels: Int32Array.from(targets) }
  const mlm = {
    positions: Int32Array.from(positions),
    labels: Int32Array.from(positions, () => random.below(VOCABULARY)),
  }
  return {
    tokenIds,
    segmentIds: new Int32Array(TOKENS),
    sequenceOffsets: Int32Array.from({ length: TOKENS / SEQUENCE + 1 }, (_, sequence) => sequence * SEQUENCE),
    chunks: { ids, sentences: Int32Array.from(sentences) },
    labels: { mlm, ...Object.fromEntries(RELATIONS.map((relation) => [relation, agreement])) },
  }
}

async function trained(arm: Arm) {
  const config = {
    encoder: CRAMMED_ENCODER,
    ...(arm === 'encoder' ? { heads: [CRAMMED_HEAD] } : { heads: [CRAMMED_HEAD, ...HEADS], agreements: AGREEMENTS }),
  }
  const model = await Model.create(config, { device: 'cpu', precision: 'fp32', seed: 1 })
  const groups = parameterGroups(reachedParameters(model.parameters(), config, ARMS[arm]), {
    weightDecay: CRAMMED_WEIGHT_DECAY,
    layerDecay: 1,
  })
  const optimizer = await Optimizer.create(model, { ...CRAMMED_ADAMW, groups })
  /** Milliseconds a step, of the clock and of the processors. */
  const steps = async (batches: readonly PackedBatch[]): Promise<{ time: number; processor: number }> => {
    const [begin, used] = [performance.now(), process.cpuUsage()]
    for (const batch of batches) {
      const labels = Object.fromEntries(ARMS[arm].map((head) => [head, batch.labels[head]]))
      const losses = await model.step({ ...batch, labels })
      await (await optimizer.step({ learningRate: 1e-4, maxGradNorm: CRAMMED_MAX_GRAD_NORM })).read()
      await losses.read()
    }
    const { user, system } = process.cpuUsage(used)
    return { time: (performance.now() - begin) / batches.length, processor: (user + system) / 1000 / batches.length }
  }
  return {
    arm,
    steps,
    close: async () => {
      await optimizer.dispose()
      await model.dispose()
    },
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      threads: { type: 'string', default: String(THREADS) },
    },
  })
  const threads = computeThreads(Number(values.threads))
  const batches = Array.from({ length: values.short ? 1 : 3 }, (_, seed) => randomBatch(seed))
  const arms = await Promise.all((Object.keys(ARMS) as Arm[]).map(trained))
  for (const { steps } of arms) await steps(batches)
  const turns: Record<Arm, { time: number; processor: number }[]> = { encoder: [], stage2: [], stage1: [] }
  const rounds = values.short ? 5 : 9
  let disturbed = 0
  for (let round = 0; round < rounds; round++) {
    if ((await busyShare()) > BUSY_SHARE) disturbed++
    for (let turn = 0; turn < arms.length; turn++) {
      const { arm, steps } = arms[(turn + round) % arms.length]
      turns[arm].push(await steps(batches))
    }
    say(
      `round ${round + 1}/${rounds}: ${arms.map(({ arm }) => `${arm} ${turns[arm][round].time.toFixed(0)} ms`).join(', ')}`,
    )
  }
  for (const { close } of arms) await close()
  const ratio = (what: 'time' | 'processor') =>
    median(turns.encoder.map((alone, round) => alone[what] / turns.stage2[round][what]))
  const rows = arms.map(({ arm }): Row => {
    const time = median(turns[arm].map((turn) => turn.time))
    return {
      arm,
      millisecondsPerStep: time,
      processorMillisecondsPerStep: median(turns[arm].map(({ processor }) => processor)),
      tokensPerSecond: (1000 * TOKENS) / time,
    }
  })
  const ratios = { 'stage2/encoder': ratio('time'), 'stage2/encoder, processor time': ratio('processor') }
  const result = {
    name: 'agreements',
    precision: 'fp32',
    ...runFacts({}, threads),
    rounds,
    disturbedRounds: disturbed,
    rows,
    ratios,
  }
  if (values.save) saveResult(result)
  if (values.json) console.log(JSON.stringify(result, null, 2))
  else {
    console.table(rows)
    console.log(ratios)
  }
}

void main()
