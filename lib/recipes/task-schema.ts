import { z } from 'zod'
import { ADAPTER_KINDS } from '../model/index.js'

/** The part of the recipe schema that is about labelled tasks, their heads, adapters, layer mixes and samplers. */

const count = z.int().min(1)
const rate = z.number().min(0).lt(1)
const factor = z.number().min(0)

/** As in schema.ts: a layer's number, or a place relative to the L layers. */
export const layer = z.union([z.int().min(0), z.enum(['top', 'half', 'third'])])

/** A name of a head, task, mix or adapter. */
export const name = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/, 'a name of letters, digits, "_" and "-"')

/** A learned sum of layers that heads may read instead of one layer (BERMo, arXiv 2110.15802; the open points are our choices). */
export const mix = z.strictObject({
  /** The embedding output takes part as well. */
  includeEmbeddings: z.boolean().default(false),
  /**
   * Each layer is normalised, a token at a time and without weights, before it is added. Default: with a crammed encoder, whose
   * states grow with depth; BERT's layers end in a LayerNorm.
   */
  layerNorm: z.boolean().optional(),
  /** `uniform` = equal shares; `last` = nearly all on the top layer, as suits a trained encoder. */
  init: z.enum(['uniform', 'last']).default('uniform'),
})

/** Modules of their own that each task gets inside the blocks (PALs, arXiv 1902.02671). */
export const adapter = z.strictObject({
  kind: z.enum(ADAPTER_KINDS),
  /** Inner size, or the rank. */
  size: count.optional(),
  /** Attention heads of `pal` and `top-attention`. */
  heads: count.optional(),
  /** Blocks of `top-attention`. */
  blocks: count.optional(),
  /** `pal`: a GELU after the decoder, as in the published code. */
  outputGelu: z.boolean().optional(),
  /** `lora`: the product is scaled by alpha / size. */
  alpha: z.number().positive().optional(),
  /** `lora`: which products it stands beside. */
  targets: z
    .array(z.enum(['query', 'key', 'value']))
    .min(1)
    .optional(),
  dropout: rate.optional(),
  /** LayerNorms of each task's own: with `train: adapters` the encoder then stays as it is. */
  layerNorms: z.boolean().optional(),
})

const taskHead = z.strictObject({
  /** `auto` = by the task's kind; for pairs of texts see `pairKind`. */
  kind: z.enum(['auto', 'classifier', 'regressor', 'san', 'ranker', 'span', 'tagger', 'parser']).default('auto'),
  /** Head of a classification of pairs: one linear layer on the pooled state, or a stochastic answer network over both texts. */
  pairKind: z.enum(['classifier', 'san']).default('classifier'),
  layer: layer.default('top'),
  /** Name of a mix that is read instead of the layer. */
  mix: name.optional(),
  dropout: rate.default(0.1),
  pooler: z.enum(['own', 'shared', 'none']).default('shared'),
  /** Values of a pooled vector, with `pooler: own` alone; default the encoder's width. */
  poolerSize: count.max(65_536).optional(),
  /** Reasoning steps of a SAN. */
  steps: count.max(100).default(5),
  /** Probability of leaving a step of a SAN out of the average while training. */
  predictionDropout: rate.default(0.1),
  /** Widths of the vectors by which a parser scores arcs and relations. */
  arcSize: count.max(65_536).default(256),
  labelSize: count.max(65_536).default(100),
})

const column = z.union([z.string().min(1), z.int().min(0)])

/** How a user's own rows become examples. Of a known task only what differs. */
const definition = z.strictObject({
  kind: z.enum(['classification', 'regression', 'ranking', 'span', 'tagging', 'parsing']).optional(),
  format: z.enum(['tsv', 'csv', 'jsonl', 'parquet']).optional(),
  header: z.boolean().optional(),
  /** Column (name, or number from 0) of the text, or of both texts of a pair. */
  text: z.union([column, z.array(column).min(1).max(2)]).optional(),
  label: column.optional(),
  /** Class names by number; default: those of the training rows, sorted. */
  labels: z.array(z.string()).min(2).optional(),
  /** Bounds of a regression's values. */
  range: z.tuple([z.number(), z.number()]).optional(),
  /** Regression targets are the files' values divided by this. */
  targetDivisor: z.number().positive().optional(),
  /** Cells that mean "no label". */
  noLabel: z.array(z.string()).optional(),
  delimiter: z.string().length(1).optional(),
  /** The second text comes first. */
  hypothesisFirst: z.boolean().optional(),
  /** `span`: a context may have no answer; tokens from one window to the next; longest question and answer in tokens. */
  noAnswer: z.boolean().optional(),
  stride: count.optional(),
  questionTokens: count.optional(),
  maxAnswerTokens: count.optional(),
  /** `span`: longest list of candidates; "" is answered when it scores higher than the best span by more than the threshold. */
  nBest: count.optional(),
  noAnswerThreshold: z.number().optional(),
  /** `ranking`: columns of the question, of a candidate, and of what a question's rows have in common. */
  question: column.optional(),
  candidate: column.optional(),
  group: column.optional(),
  /** `ranking`: labels of the right candidate, and of the others; default 1 and 0. */
  positive: z.array(z.string()).min(1).optional(),
  negative: z.array(z.string()).min(1).optional(),
  /** `tagging`: columns of the lists of words and tags; of CoNLL-U the column that is the tag. */
  words: column.optional(),
  tags: column.optional(),
  column: z.enum(['upos', 'xpos', 'deprel']).optional(),
  /** `parsing`: parts of speech are learned as well (default); words of a batch. */
  upos: z.boolean().optional(),
  batchWords: count.optional(),
  metrics: z.array(z.string()).min(1).optional(),
})

export const task = z.strictObject({
  /** A known task (`rte`, `mnli` …) that this one is; default the known task of its own name. */
  use: z.string().min(1).optional(),
  definition: definition.optional(),
  head: taskHead.prefault({}),
  /** Factor of the task's loss. */
  weight: factor.default(1),
  /** Whether the task gets the recipe's adapter. */
  adapter: z.boolean().default(true),
  /** Share of the training examples that is used. */
  fraction: z.number().gt(0).max(1).default(1),
  /** Seed of that share; default the recipe's. */
  drawSeed: z.int().min(0).optional(),
  /** Share (< 1) or number (≥ 1) of a single file's examples that is held out. */
  devShare: z.union([z.number().gt(0).lt(1), z.int().min(1)]).default(0.1),
  /** Largest share of bad rows in a file. */
  maxBadShare: z.number().min(0).max(1).default(0.05),
  /** Longest input in tokens; default `batch.sequenceTokens`. */
  sequenceTokens: z.int().min(8).optional(),
})

export const sampler = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(['proportional', 'sqrt', 'roundRobin', 'shuffled']) }),
  z.strictObject({
    kind: z.literal('annealed'),
    /** Over how many nominal epochs the exponent falls from 1 to 0.2. */
    epochs: count.default(25),
    /** Optimiser steps of a nominal epoch; default: the budget's share. */
    stepsPerEpoch: count.optional(),
  }),
  z.strictObject({
    kind: z.literal('temperature'),
    temperature: z.number().positive(),
    cap: z.number().positive().optional(),
  }),
  z.strictObject({ kind: z.literal('weights'), weights: z.record(z.string(), factor) }),
])

/** Files of a task: a folder in its official layout, one file, or files by split. */
export const taskFiles = z.union([
  z.string().min(1),
  z.array(z.string().min(1)).min(1),
  z.record(z.string(), z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])),
])

export type RecipeTask = z.output<typeof task>
export type RecipeAdapter = z.output<typeof adapter>
export type RecipeMix = z.output<typeof mix>
export type TaskSlot = z.output<typeof taskFiles>
