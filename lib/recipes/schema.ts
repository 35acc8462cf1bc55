import { z } from 'zod'
import { DOCUMENT_FORMATS } from '../data/document-reader.js'
import { agreements } from './agreement-schema.js'
import { pruning } from './pruning-schema.js'
import { adapter, layer, mix, name, sampler, task, taskFiles } from './task-schema.js'

/**
 * The one schema of recipes: what a TypeScript value, a YAML or JSON file and `--set` may say. Every key has its
 * default here. Checks across keys are in resolve-recipe.ts.
 */

const count = z.int().min(1)
const countOrZero = z.int().min(0)
const share = z.number().min(0).max(1)
const factor = z.number().min(0)

const encoder = z.strictObject({
  /** `bert` (post-LN, as published) or `crammed` (pre-LN, gated, without biases: arXiv 2212.14034). */
  kind: z.enum(['bert', 'crammed']).default('bert'),
  layers: count.max(1024).default(6),
  hiddenSize: count.max(65_536).default(256),
  /** Attention heads; default hiddenSize / 64, at least 1. */
  heads: count.max(4096).optional(),
  /** Default 4 × hiddenSize. */
  intermediateSize: count.max(1_048_576).optional(),
  /** Longest sequence in tokens that the position embeddings can take. */
  maxPositions: count.max(1_048_576).default(512),
  segmentTypes: z.int().min(2).max(1024).default(2),
  layerNormEpsilon: z.number().positive().default(1e-12),
  hiddenDropout: z.number().min(0).lt(1).default(0),
  attentionDropout: z.number().min(0).lt(1).default(0),
  activation: z.enum(['gelu', 'gelu_tanh', 'relu']).default('gelu'),
  initializerRange: z.number().positive().default(0.02),
})

/**
 * Where a head reads: a layer's number (0 = embedding output, l = output of block l), a place relative to the L layers
 * (`top` = L, `half` = max(2, round(L / 2)), `third` = max(2, round(L / 3))), or one of the recipe's mixes.
 */
const tap = { layer: layer.default('top'), mix: name.optional() }

const head = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('masked-lm'),
    ...tap,
    weight: factor.default(1),
    /** False: states are decoded as they are, without transform and bias, as in Crammed BERT. */
    transform: z.boolean().default(true),
    transfer: z
      .strictObject({
        /** Name of the next-sentence head whose pooled vector is handed over. */
        from: z.string().min(1).default('nsp'),
        mode: z.enum(['concat', 'add', 'label', 'none']).default('concat'),
        /** True keeps the masked-LM loss out of the next-sentence head's layers. */
        stopGradient: z.boolean().default(false),
      })
      .optional(),
  }),
  z.strictObject({
    kind: z.literal('next-sentence'),
    ...tap,
    weight: factor.default(1),
    /** What the pooler reads: [CLS] as in BERT, or the mean of the input's states. */
    read: z.enum(['cls', 'mean']).default('cls'),
  }),
  z.strictObject({
    kind: z.literal('bigram-shift'),
    layer: layer.default('third'),
    mix: name.optional(),
    weight: factor.default(1),
    level: z.enum(['sentence', 'token']).default('sentence'),
    read: z.enum(['mean', 'cls']).default('mean'),
  }),
])

/** Shorthand that adds the heads `bshift` (one label a sentence) and `bshiftToken` (one label a token). */
const bigramShift = z.strictObject({
  level: z.enum(['none', 'sentence', 'token', 'both']).default('none'),
  layer: layer.default('third'),
  /** What a sentence's label is read from: the mean of its states, or [CLS] (inputs of one sentence only). */
  read: z.enum(['mean', 'cls']).default('mean'),
  weight: factor.default(1),
  /** Probability that one pair of neighbouring words of a sentence is swapped. */
  probability: share.default(0.5),
  /** Share of a swapped sentence's words that further swaps touch; 0 = one pair. */
  rate: share.default(0),
  /** Level `token`: whether tokens that masked LM predicts have a label too (it is always 0: swapped words are not masked). Default true. */
  labelMaskedTokens: z.boolean().optional(),
})

const masking = z.strictObject({
  /** Share of an input's tokens that are predicted. */
  maskShare: z.number().gt(0).lt(1).default(0.15),
  /** Of the predicted tokens: share that becomes [MASK]; what `randomTokenShare` leaves over stays as it is. */
  maskTokenShare: share.default(0.8),
  /** Of the predicted tokens: share that becomes a random token. */
  randomTokenShare: share.default(0.1),
  wholeWord: z.boolean().default(false),
  /** True: exactly round(maskShare × tokens) of every input; with whole words the most that fit into that. */
  exact: z.boolean().default(false),
  /** True: of n predicted tokens exactly round(maskTokenShare × n) become [MASK], and so on; else each fate is drawn by itself. */
  exactSplit: z.boolean().default(false),
  /** True: [SEP], [UNK] and the like may be predicted as any other token. */
  includeSpecial: z.boolean().default(false),
})

const inputs = z.strictObject({
  /**
   * `pairs` = BERT's two segments, `segments` = one run of sentences, `sentences` = one sentence, `packed` = documents in a row, a [SEP]
   * behind each, cut every `batch.sequenceTokens` tokens; `auto` = pairs with a next-sentence head, else segments.
   */
  kind: z.enum(['auto', 'pairs', 'segments', 'sentences', 'packed']).default('auto'),
  /** Of `packed`: how the sequences are met; `unigram` = likely ones first, `sentence-length` = most full stops first. */
  order: z.enum(['shuffle', 'text', 'unigram', 'sentence-length']).default('shuffle'),
  /** Share of the inputs with a random shorter target length. */
  shortShare: share.default(0.1),
})

const budget = z.strictObject({
  /** Optimiser steps. */
  steps: count.optional(),
  /** Real tokens seen. */
  tokens: count.optional(),
  /** Passes over the data. */
  epochs: z.number().positive().optional(),
  /** Wall-clock hours, summed over the parts of a resumed run. */
  hours: z.number().positive().optional(),
})

const batch = z.strictObject({
  /** Most tokens of one packed batch. */
  tokens: count.default(2048),
  /** Examples of one batch of a labelled task. */
  sequences: count.default(32),
  /** Batches of one optimiser step. */
  accumulation: count.default(1),
  /** Over what a step's batches grow from 1 to that: a share of the budget (< 1) or a number of batches; 0 = no growth. */
  accumulationRamp: factor.default(0),
  /** Most tokens of one input, [CLS] and [SEP] included. */
  sequenceTokens: z.int().min(8).default(128),
})

const optimizer = z.strictObject({
  kind: z.enum(['adamw', 'adamax', 'bert-adam', 'sgd']).default('adamw'),
  /** `adamax`: as torch, or as MT-DNN's code (no bias correction, decoupled decay). */
  variant: z.enum(['torch', 'mt-dnn']).optional(),
  /** `sgd`. */
  momentum: z.number().min(0).lt(1).optional(),
  dampening: share.optional(),
  nesterov: z.boolean().optional(),
  learningRate: z.number().positive().default(1e-3),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.999),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: factor.default(0.01),
  /** Learning-rate factor from one layer to the one below it; 1 = equal rates. */
  layerDecay: z.number().positive().max(1).default(1),
  /** Weight decay on every parameter, as in MT-DNN's code; else not on biases, LayerNorm and mixes. */
  decayAll: z.boolean().optional(),
  /** Learning-rate factor by start of a parameter's name, like `{ "mixes.": 100 }`; the longest fitting one counts. */
  rateFactors: z.record(z.string().min(1), factor).optional(),
})

const schedule = z.strictObject({
  kind: z
    .enum(['linear', 'cosine', 'constant', 'triangle', 'triangle1', 'triangle2', 'one-cycle', 'multi-cycle', 'bert'])
    .default('linear'),
  /** Share of the budget (< 1) or number of steps (≥ 1) over which the rate rises. */
  warmup: factor.default(0.06),
  /** Factor of the learning rate at the end of the budget. */
  finalFactor: share.default(0),
})

const clip = z.strictObject({
  /** Largest global gradient norm; 0 = no limit. */
  maxGradNorm: factor.default(1),
  /** Largest gradient norm of each tensor; 0 = no limit. */
  maxTensorGradNorm: factor.default(0),
})

const stage = z.strictObject({
  name: z.string().min(1).optional(),
  /** Names of the self-supervised heads that train in this stage; default all. */
  heads: z.array(z.string()).optional(),
  /** Names of the labelled tasks that train in this stage; default all. */
  tasks: z.array(z.string()).optional(),
  /** One stage a task, named `<name>-<task>`, each from the same start. */
  eachTask: z.boolean().default(false),
  /** Name of the earlier stage whose end the weights are taken from, or `initial` for those that the run began with; default the stage before. */
  startFrom: z.string().min(1).optional(),
  /** Its best checkpoint instead of its end. */
  startFromBest: z.boolean().default(false),
  sampler: sampler.optional(),
  train: z.enum(['all', 'adapters']).optional(),
  budget,
  /** Here as below, what a stage leaves out is taken from the recipe's own key of the same name. */
  optimizer: optimizer.prefault({}),
  schedule: schedule.prefault({}),
  clip: clip.prefault({}),
  batch: batch.prefault({}),
  freeze: z.array(z.string().min(1)).optional(),
})

const files = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])

/** Checks a recipe and fills in its defaults: every key with its type. Faults across keys are found by `openRecipe`. */
export const recipeSchema = z.strictObject({
  /** A named recipe whose values hold where this one is silent. */
  extends: z.string().optional(),
  /** Set in the `recipe.resolved.json` of a run: the file says everything, nothing is taken from `extends`. */
  resolved: z.literal(true).optional(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, ".", "_" and "-"')
    .default('custom'),
  description: z.string().optional(),
  /** One of the named sets of values that the extended recipe offers. */
  preset: z.string().optional(),
  /** Checkpoint, run or Hugging Face folder whose encoder, and heads of the same name, the run starts from. */
  init: z.string().min(1).optional(),
  seed: countOrZero.default(1),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda(:\d+)?)$/, 'auto, cpu, cuda or cuda:N')
    .default('auto'),
  /** `auto` = bf16 on CUDA, fp32 on CPU. */
  precision: z.enum(['auto', 'fp64', 'fp32', 'bf16', 'fp16']).default('auto'),
  /** Threads of libtorch in this process; 0 = as many as it sees processors. */
  threads: countOrZero.max(1024).default(0),
  onNonFinite: z.enum(['stop', 'skip', 'rollback']).default('stop'),
  /** Worker threads that build batches ahead; 0 = built on the main thread. */
  prefetchWorkers: countOrZero.max(64).default(1),
  /**
   * Megabytes of a labelled set's tokenised examples that memory holds; a larger set lies in memory-mapped files in the user's cache.
   * Classification and regression; batches do not depend on it.
   */
  taskMegabytes: countOrZero.default(256),
  /** Data slots by name: file, folder or list of them. */
  data: z
    .object({
      /** Text; or the texts of labelled tasks, `{ fromTasks: [name…] }`. */
      corpus: z.union([files, z.strictObject({ fromTasks: z.array(name).min(1) })]).optional(),
      /** Held-out text; default: `evaluation.documents` of the corpus's documents. */
      heldOut: files.optional(),
    })
    // Every other slot belongs to the task of its name.
    .catchall(taskFiles)
    .prefault({}),
  /** How the text files are read. */
  text: z
    .strictObject({
      /**
       * `titled` = `= Title =` lines, `plain` = a blank line begins a document, `jsonl` = a JSON object a line, `conllu` = parsed
       * sentences; also gzipped.
       */
      format: z.enum(DOCUMENT_FORMATS).default('auto'),
      /** Field of a JSON line that holds the text. */
      textField: z.string().min(1).default('text'),
      /** What happens at invalid UTF-8: refused with its line, or replaced and counted. */
      invalidUtf8: z.enum(['error', 'replace']).default('error'),
      /** Made plain before it is tokenised: lower case, no accents, no character beyond ASCII. */
      normalize: z
        .strictObject({
          lowercase: z.boolean().default(false),
          stripAccents: z.boolean().default(false),
          ascii: z.boolean().default(false),
        })
        .prefault({}),
      /** Documents of the corpus with at least this many tokens a character are removed. */
      maxTokensPerCharacter: z.number().positive().optional(),
      /** Documents of the corpus whose text came before are removed. */
      dropDuplicates: z.boolean().default(false),
    })
    .prefault({}),
  /** A `tokenizer.json`, `vocab.txt` or a folder with one, or `{ train }`. Taken from the checkpoint with `init`. */
  tokenizer: z
    .union([
      z.string().min(1),
      z.strictObject({
        train: z.strictObject({
          vocabSize: z.int().min(32).max(1_000_000).default(8192),
          lowercase: z.boolean().default(true),
        }),
      }),
    ])
    .prefault({ train: {} }),
  encoder: encoder.prefault({}),
  /** The self-supervised heads by name. */
  heads: z
    .record(
      z.string().regex(/^[A-Za-z][A-Za-z0-9_]*$/, 'a name of letters, digits and "_"'),
      head,
      'an object of heads by name',
    )
    .prefault({}),
  /** Submodels of agreements between chunks, which the encoder reads beside its embeddings: docs/dacbert.md. Default: none. */
  agreements: agreements.optional(),
  /** Learned sums of layers by name; heads that name the same one share it. */
  mixes: z.record(name, mix).prefault({}),
  /** Modules inside the blocks that every labelled task gets for itself. */
  adapter: adapter.optional(),
  /** Prunes the blocks' linear layers while labelled tasks are trained; keys by method, see docs/pruning.md. */
  pruning: pruning.optional(),
  /** The labelled tasks by name; default: the known tasks among the data slots. */
  tasks: z.record(name, task).prefault({}),
  /** Values that every labelled task starts from. */
  taskDefaults: z.record(z.string(), z.unknown()).optional(),
  /** Values for tasks of these names, or that are these known tasks, should they take part. */
  taskSettings: z.record(name, z.record(z.string(), z.unknown())).optional(),
  /** Which task each optimiser step trains. */
  sampler: sampler.prefault({ kind: 'proportional' }),
  /** `adapters` trains adapters, heads, mixes and LayerNorms alone. */
  train: z.enum(['all', 'adapters']).default('all'),
  bigramShift: bigramShift.prefault({}),
  masking: masking.prefault({}),
  inputs: inputs.prefault({}),
  batch: batch.prefault({}),
  optimizer: optimizer.prefault({}),
  schedule: schedule.prefault({}),
  clip: clip.prefault({}),
  budget: budget.optional(),
  /** Parameters whose name starts with one of these stay as they are. */
  freeze: z.array(z.string().min(1)).default([]),
  stages: z.array(stage).min(1).optional(),
  evaluation: z
    .strictObject({
      /** Optimiser steps between two evaluations; 0 = only at the end. */
      everySteps: countOrZero.default(0),
      /** Passes over a stage's data between two evaluations; 0 = not by passes. */
      everyEpochs: countOrZero.default(0),
      /** Documents held out from the corpus for evaluation; `auto` = a tenth of them, at most 100; 0 = no evaluation. */
      documents: z.union([countOrZero, z.literal('auto')]).default('auto'),
    })
    .prefault({}),
  checkpoint: z
    .strictObject({
      /** Optimiser steps between two checkpoints; 0 = only at the end. */
      everySteps: countOrZero.default(0),
      /** How many of the newest are kept; 0 = all. */
      keep: countOrZero.default(3),
      /** Keeps the last and the best checkpoint of every stage to the end of the run. */
      keepStages: z.boolean().default(false),
      /** Keeps the best checkpoint as well; `metric` is `<head>.<score>` like `mlm.loss` or `nsp.accuracy`. */
      best: z.strictObject({ metric: z.string().min(3), mode: z.enum(['min', 'max']) }).optional(),
    })
    .prefault({}),
  /** Ends a stage when the score has not got better in so many evaluations. */
  earlyStopping: z
    .strictObject({
      /** As in `checkpoint.best.metric`. */
      metric: z.string().min(3),
      mode: z.enum(['min', 'max']).default('max'),
      patience: count,
      minDelta: factor.default(0),
    })
    .optional(),
  log: z.strictObject({ everySteps: count.default(10) }).prefault({}),
})

/** What a user writes: every key with a default may be left out, and `null` removes what the extended recipe says there. */
export type RecipeInput = Removable<z.input<typeof recipeSchema>>
/** Any key may be null; a list is taken as a whole. */
type Removable<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]: Removable<T[K]> | null } : T
/** A recipe after the schema: defaults are filled in, places like `half` are still words. */
export type ParsedRecipe = z.output<typeof recipeSchema>
export type RecipeHead = z.output<typeof head>
export type LayerPlace = z.output<typeof layer>
export type { RecipeAgreements } from './agreement-schema.js'
export type { RecipePruning } from './pruning-schema.js'
export type { RecipeAdapter, RecipeMix, RecipeTask, TaskSlot } from './task-schema.js'

/** Types a recipe that is written in TypeScript; it is checked when it is resolved. */
export function defineRecipe(recipe: RecipeInput): RecipeInput {
  return recipe
}
