/**
 * Training of the GPU machine check from text to checkpoint: the recipe `dacbert` (agreements between chunks, then Crammed BERT with them)
 * in its full size and in bf16 on parsed articles of Wikipedia, which scripts/gpu-pack.sh packs; on the CPU a tiny shape for a few steps.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { deviceMemory, type ModelConfig, readModelFolder } from '../lib/model/index.js'
import { mergeValues, openRecipe, runRecipe, type Values } from '../lib/recipes/index.js'
import { TrainingEvents } from '../lib/training/index.js'
import { atMost, type Check, isTrue } from '../test/helpers/device-bounds.js'

const PACKED_CORPUS = join(__dirname, '..', 'corpus', 'parsed.conllu.gz')

const FULL = { steps: 200, logEverySteps: 4, overlay: {} }
const TINY = {
  steps: 30,
  logEverySteps: 1,
  overlay: {
    encoder: { layers: 2, hiddenSize: 32, heads: 2, intermediateSize: 64, maxPositions: 32 },
    agreements: { size: 16, budgetShare: 0.5 },
    // So small a vocabulary cuts words into letters.
    text: { maxTokensPerCharacter: 1 },
    tokenizer: { train: { vocabSize: 400 } },
    batch: { tokens: 512, sequenceTokens: 32 },
    optimizer: { learningRate: 1e-2 },
    threads: 1,
    prefetchWorkers: 0,
  },
} satisfies { steps: number; logEverySteps: number; overlay: Values }

/** Every head's loss falls to this share of where it began, at least. */
const FALLEN = 0.95
/** Readings that an end's loss is the mean of, and those of a stage in which the device is not warm yet. */
const READINGS = 3

export interface RecipeSetting {
  device: string
  /** The tiny shape. */
  dry: boolean
  /** CoNLL-U; default {@link PACKED_CORPUS}. */
  corpus?: string
  python: string
  /** Folder of gpu_matmul.py. */
  peers: string
  /** Folder for the run, which is removed. */
  work: string
}

export interface RecipeFigures {
  recipe: string
  steps: number
  encoder: ModelConfig['encoder']
  tokensPerStep: number
  /** By head: at the beginning and at the end of the stage that trains it. */
  losses: Record<string, { first: number; last: number }>
  /** Median over the readings of the stage that trains the encoder. */
  tokensPerSecond: number
  /** GPU: of the allocator, evaluation and checkpoint included. */
  peakBytes?: number
  /** Share of the rate that torch reaches in one product of the encoder's shape in bf16 on this device. */
  matmulShare?: number
  matmulTflops?: number
}

export interface RecipeTraining {
  checks: Check[]
  /** Why it did not run. */
  skipped?: string
  figures?: RecipeFigures
}

export async function recipeTraining(setting: RecipeSetting): Promise<RecipeTraining> {
  const { device, dry, corpus = PACKED_CORPUS, work } = setting
  if (!existsSync(corpus)) return { checks: [], skipped: `the pack has no parsed text (${corpus})` }
  const { steps, logEverySteps, overlay } = dry ? TINY : FULL
  const recipe = await openRecipe('dacbert', {
    overlay: mergeValues(
      {
        data: { corpus },
        device,
        precision: 'bf16',
        // Every step is one batch of the recipe; growing to its 8,192 sequences would only take longer.
        batch: { accumulation: 1 },
        budget: { steps },
        evaluation: { everySteps: 0, documents: 4 },
        checkpoint: { everySteps: 0, keep: 1 },
        log: { everySteps: logEverySteps },
      },
      overlay,
    ),
  })
  const losses: Record<string, number[]> = {}
  const rates: number[] = []
  const events = new TrainingEvents().on('step', ({ losses: heads, tokensPerSecond }) => {
    for (const [head, { loss }] of Object.entries(heads)) {
      losses[head] ??= []
      losses[head].push(loss)
    }
    if ('mlm' in heads) rates.push(tokensPerSecond)
  })
  const output = join(work, 'gpu-check-recipe')
  rmSync(output, { recursive: true, force: true })
  try {
    if (device !== 'cpu') deviceMemory(device, { resetPeak: true })
    const cacheDirectory = join(output, 'cache')
    const result = await runRecipe(recipe, { output: join(output, 'run'), cacheDirectory, events })
    const peakBytes = device === 'cpu' ? undefined : deviceMemory(device).peakBytes
    const { config } = await readModelFolder(result.checkpoint!)
    const tokensPerSecond = median(rates.slice(READINGS))
    const rate = matmulRate(setting, config, recipe.batch.tokens)
    const flops = flopsPerToken(config, recipe.masking.maskShare, recipe.batch.sequenceTokens)
    return {
      checks: [
        isTrue(`${recipe.name}: ${steps} steps of both stages`, result.state.step === steps),
        ...Object.entries(losses).map(([head, values]) => falls(recipe.name, head, values)),
      ],
      figures: {
        recipe: recipe.name,
        steps,
        encoder: config.encoder,
        tokensPerStep: recipe.batch.tokens,
        losses: Object.fromEntries(Object.entries(losses).map(([head, values]) => [head, ends(values)])),
        tokensPerSecond,
        peakBytes,
        ...(rate && { matmulShare: (tokensPerSecond * flops) / rate, matmulTflops: rate / 1e12 }),
      },
    }
  } finally {
    rmSync(output, { recursive: true, force: true })
  }
}

/** Breaks for a loss that was not finite, too. */
function falls(recipe: string, head: string, values: readonly number[]): Check {
  const { first, last } = ends(values)
  const share = values.every(Number.isFinite) ? last / first : Number.POSITIVE_INFINITY
  return atMost(`${recipe}: loss of ${head} ÷ that of the beginning`, share, FALLEN)
}

function ends(values: readonly number[]): { first: number; last: number } {
  const last = values.slice(-READINGS)
  return { first: values[0], last: last.reduce((sum, value) => sum + value, 0) / last.length }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]
}

/**
 * Of the stage that trains the encoder: 6 × the weights that a token meets, attention's two products, the decoder at masked positions; of
 * the submodels, which are not trained there, the forward pass alone.
 */
function flopsPerToken({ encoder, agreements }: ModelConfig, maskShare: number, sequenceTokens: number): number {
  const block = (size: number, intermediateSize: number) =>
    4 * size ** 2 + 1.5 * size * intermediateSize + 2 * sequenceTokens * size
  const { layers, hiddenSize, intermediateSize, vocabSize } = encoder
  const trained = layers * block(hiddenSize, intermediateSize) + maskShare * hiddenSize * vocabSize
  if (!agreements) return 6 * trained
  const { relations, size, layers: depth, intermediateSize: width } = agreements
  return 6 * trained + 2 * relations.length * depth * block(size, width)
}

/** FLOP/s of torch; undefined where Python has no answer. */
function matmulRate({ device, python, peers }: RecipeSetting, { encoder }: ModelConfig, rows: number) {
  const sizes = [rows, encoder.hiddenSize, encoder.intermediateSize].map(String)
  const { status, stdout } = spawnSync(python, [join(peers, 'gpu_matmul.py'), '--device', device, ...sizes], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  return status === 0 ? (JSON.parse(stdout.trim().split('\n').at(-1)!).flopsPerSecond as number) : undefined
}
