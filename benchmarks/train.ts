/**
 * Pre-training throughput against PyTorch peers: `npm run bench:train -- [--json] [--short] [--shape mini|small|base] [--precision bf16|fp32]
 * [--save]`.
 *
 * All programs train on the same batches with the same threads and take turns in short rounds, each in a process of its own
 * that sleeps between its turns. Throughput is real tokens a second, so padding counts for nothing. A ratio is the median
 * over the rounds of ours ÷ peer in the same round. The share of the matmul rate is (training FLOPs a token × tokens/s) ÷
 * (rate of a 2048 × 768 → 3072 matmul in torch in the same precision, measured in the same rounds). Where bf16 products are slower than
 * float32 ones (no AVX-512 BF16 or AMX to be had), `--precision fp32` lets all programs use the faster kind.
 */
import path from 'node:path'
import { readBatchFile } from './batch-file.js'
import { enwikiBatches } from './enwiki-batches.js'
import { PeerProcess } from './peer-process.js'
import {
  instructionSet,
  median,
  type Precision,
  python,
  ratioOf,
  runFacts,
  saveResult,
  sum,
  THREADS,
  takeTurns,
} from './rounds.js'

const PEERS = ['hf-eager', 'hf-compile', 'torch-tuned'] as const
const NAMES = ['stratabert', ...PEERS] as const
type Name = (typeof NAMES)[number]

const SHAPES = {
  /** The default encoder of the pre-training recipes, with a vocabulary trained from the benchmark's text. */
  mini: { layers: 6, hiddenSize: 256, intermediateSize: 1024, vocabulary: 8192 },
  small: { layers: 4, hiddenSize: 512, intermediateSize: 2048, vocabulary: 30522 },
  base: { layers: 12, hiddenSize: 768, intermediateSize: 3072, vocabulary: 30522 },
} as const
type Shape = keyof typeof SHAPES

const BATCH_TOKENS = 2048
/** Steps of one turn: enough for about two seconds each, so that a round stays short. */
const STEPS: Record<Shape, Record<Name, number>> = {
  mini: { stratabert: 12, 'hf-eager': 5, 'hf-compile': 6, 'torch-tuned': 10 },
  small: { stratabert: 4, 'hf-eager': 2, 'hf-compile': 2, 'torch-tuned': 4 },
  base: { stratabert: 2, 'hf-eager': 1, 'hf-compile': 1, 'torch-tuned': 2 },
}
/** In bf16 compiled programs reach their pace after some ten steps. */
const WARM_UP_STEPS = 12

interface Row {
  shape: Shape
  program: Name
  tokensPerSecond: number
  millisecondsPerStep: number
  /** Token places computed per real token, minus 1. */
  paddingShare: number
  peakRssBytes: number
  /** Share of the measured matmul rate in the same precision. */
  matmulShare: number
  lastLoss: number
}

interface Options {
  json: boolean
  short: boolean
  save: boolean
  shapes: Shape[]
  precision: Precision
}

function parseArguments(list: string[]): Options {
  const options: Options = { json: false, short: false, save: false, shapes: ['small', 'base'], precision: 'bf16' }
  for (let index = 0; index < list.length; index++) {
    if (list[index] === '--json') options.json = true
    else if (list[index] === '--short') options.short = true
    else if (list[index] === '--save') options.save = true
    else if (list[index] === '--shape' && list[index + 1] in SHAPES) options.shapes = [list[++index] as Shape]
    else if (list[index] === '--precision' && /^(bf16|fp32)$/.test(list[index + 1])) {
      options.precision = list[++index] as Precision
    } else
      throw new Error(
        `unknown argument ${list[index]}; known are --json, --short, --save, --shape mini|small|base, --precision bf16|fp32`,
      )
  }
  if (options.short) options.shapes = options.shapes.slice(0, 1)
  return options
}

function startPeers(
  interpreter: string,
  batchFile: string,
  shape: Shape,
  precision: Precision,
  isa: Record<string, string>,
): PeerProcess[] {
  const script = (name: string) => path.join(__dirname, 'peers', name)
  const common = ['--batches', batchFile, '--shape', shape, '--threads', String(THREADS), '--precision', precision]
  const environment = { OMP_NUM_THREADS: String(THREADS), ...isa }
  return [
    new PeerProcess(
      'stratabert',
      [process.execPath, '--import', 'tsx', path.join(__dirname, 'ours-train.ts'), batchFile, shape, precision],
      environment,
    ),
    new PeerProcess('hf-eager', [interpreter, script('hf_train.py'), ...common], environment),
    new PeerProcess('hf-compile', [interpreter, script('hf_train.py'), ...common, '--compile'], environment),
    new PeerProcess('torch-tuned', [interpreter, script('torch_tuned.py'), ...common], {
      ...environment,
      // Huge pages for torch's allocator: part of the tuning.
      THP_MEM_ALLOC_ENABLE: '1',
    }),
  ]
}

/** Forward and backward FLOPs of a token: 6 × the weights it meets, the decoder at masked positions only. */
function trainingFlopsPerToken(shape: Shape, maskedShare: number): number {
  const { layers, hiddenSize: H, intermediateSize: F, vocabulary } = SHAPES[shape]
  return 6 * layers * (4 * H * H + 2 * H * F) + 6 * maskedShare * (H * H + H * vocabulary)
}

async function benchmarkShape(shape: Shape, options: Options, interpreter: string, isa: Record<string, string>) {
  const batchFile = await enwikiBatches(BATCH_TOKENS, SHAPES[shape].vocabulary)
  const batches = readBatchFile(batchFile)
  const tokens = sum(batches.map((batch) => batch.tokenIds.length))
  const maskedShare = sum(batches.map((batch) => batch.labels.mlm.labels.length)) / tokens
  const flops = trainingFlopsPerToken(shape, maskedShare)
  const rounds = options.short ? 3 : 5
  const peers = startPeers(interpreter, batchFile, shape, options.precision, isa)
  const gemm: number[] = []
  try {
    const { turns, disturbed } = await takeTurns(peers, {
      label: shape,
      rounds,
      warmUpSteps: WARM_UP_STEPS,
      stepsOf: (program) => STEPS[shape][program as Name],
      tell: (rate) => `${rate.toFixed(0)} tok/s`,
      beforeRound: async () => {
        gemm.push((await peers[3].ask<{ gflops: number }>({ command: 'gemm', precision: options.precision })).gflops)
      },
    })
    const matmulRate = median(gemm)
    const rows: Row[] = []
    for (const peer of peers) {
      const own = turns.get(peer.name)!
      const tokensPerSecond = median(own.map((turn) => turn.rate))
      rows.push({
        shape,
        program: peer.name as Name,
        tokensPerSecond,
        millisecondsPerStep: median(own.map((turn) => turn.ms)),
        paddingShare: median(own.map((turn) => turn.padding)),
        peakRssBytes: (await peer.ask<{ peakRssBytes: number }>({ command: 'memory' })).peakRssBytes,
        matmulShare: (tokensPerSecond * flops) / (matmulRate * 1e9),
        lastLoss: own.at(-1)!.loss,
      })
    }
    const ratio = (above: Name, below: Name) => ratioOf(turns, above, below)
    const ratios = Object.fromEntries(PEERS.map((peer) => [peer, ratio('stratabert', peer)]))
    const rival = { tunedOverCompile: ratio('torch-tuned', 'hf-compile'), tunedPadding: rows[3].paddingShare }
    return {
      shape,
      rounds,
      disturbed,
      matmulGflops: matmulRate,
      flopsPerToken: flops,
      maskedShare,
      rows,
      ratios,
      rival,
    }
  } finally {
    await Promise.all(peers.map((peer) => peer.quit()))
  }
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2))
  const interpreter = python()
  const isa = instructionSet(interpreter)
  const shapes: Awaited<ReturnType<typeof benchmarkShape>>[] = []
  for (const shape of options.shapes) shapes.push(await benchmarkShape(shape, options, interpreter, isa))
  const result = {
    name: 'train',
    ...runFacts(isa),
    batchTokens: BATCH_TOKENS,
    precision: options.precision,
    rows: shapes.flatMap((shape) => shape.rows),
    ratios: Object.fromEntries(
      shapes.flatMap(({ shape, ratios }) =>
        Object.entries(ratios).map(([peer, value]) => [shape === shapes[0].shape ? peer : `${shape}/${peer}`, value]),
      ),
    ),
    shapes: shapes.map(({ rows: _, ...rest }) => rest),
  }
  // Runs of one shape do not overwrite the table of several.
  if (options.save)
    saveResult({ ...result, name: options.shapes.length === 1 ? `train-${options.shapes[0]}` : 'train' })
  if (options.json) {
    console.log(JSON.stringify(result, null, 2))
    return
  }
  for (const { shape, rows, ratios, matmulGflops, disturbed, rounds, rival } of shapes) {
    console.log(
      `\n${shape}: ${options.precision} matmul ${matmulGflops.toFixed(0)} GFLOP/s, ${disturbed} of ${rounds} rounds disturbed`,
    )
    for (const row of rows) {
      const { program, tokensPerSecond, millisecondsPerStep, peakRssBytes, matmulShare, paddingShare } = row
      console.log(
        `${program.padEnd(12)} ${tokensPerSecond.toFixed(0).padStart(6)} tok/s ${millisecondsPerStep.toFixed(0).padStart(6)} ms/step ` +
          `${(peakRssBytes / 2 ** 20).toFixed(0).padStart(6)} MiB ${(100 * matmulShare).toFixed(0).padStart(3)} % of matmul ${(100 * paddingShare).toFixed(1).padStart(5)} % padding`,
      )
    }
    for (const [peer, value] of Object.entries(ratios)) console.log(`stratabert ÷ ${peer}: ${value.toFixed(2)}`)
    console.log(`torch-tuned ÷ hf-compile: ${rival.tunedOverCompile.toFixed(2)}`)
  }
}

main().catch((error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
})
