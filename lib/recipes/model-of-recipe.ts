/** The model that a recipe describes: its encoder, mixes, adapters, heads and what prunes it. */
import type { AdapterConfig, HeadConfig, ModelConfig, Tap, TaskHeadConfig } from '../model/index.js'
import type { TaskKind } from '../tasks/index.js'
import { agreementParts } from './agreements-of-recipe.js'
import type { ResolvedHead, ResolvedRecipe, ResolvedTask } from './resolve-recipe.js'
import type { RecipeAdapter } from './schema.js'

/** What a task's head depends on beside the recipe. */
export interface TaskShape {
  name: string
  kind: TaskKind
  /** Of kinds with classes. */
  classes?: number
  /** Parts of speech of a parsing task. */
  tags?: number
  /** Whether an example has two texts. */
  pair: boolean
}

/** The recipe's model for a vocabulary and the tasks that take part. */
export function modelConfigOf(
  recipe: ResolvedRecipe,
  vocabSize: number,
  tasks: readonly TaskShape[] = [],
): ModelConfig {
  const mixes = Object.entries(recipe.mixes).map(([name, mix]) => ({ name, ...mix }))
  const { adapter } = recipe
  const { agreements, heads } = agreementParts(recipe)
  const adapters = adapter
    ? tasks
        .filter(({ name }) => recipe.tasks[name].adapter)
        .map(({ name }) => adapterConfig(name, adapter, recipe.encoder.heads))
    : []
  return {
    encoder: { ...recipe.encoder, vocabSize },
    heads: [
      ...heads,
      ...Object.entries(recipe.heads).map(headConfig),
      ...tasks.map((shape) => taskHeadConfig(shape, recipe.tasks[shape.name])),
    ],
    ...(agreements && { agreements }),
    ...(mixes.length > 0 && { mixes }),
    ...(adapters.length > 0 && { adapters }),
    ...(recipe.pruning && { pruning: { method: recipe.pruning.method } }),
  }
}

function headConfig([name, head]: [string, ResolvedHead]): HeadConfig {
  const common = { name, tap: tapOf(head), weight: head.weight }
  switch (head.kind) {
    case 'masked-lm': {
      const { from, mode, stopGradient } = head.transfer ?? { from: '', mode: 'none', stopGradient: false }
      const masked = { ...common, kind: head.kind, ...(head.transform ? {} : { transform: false }) }
      return mode === 'none' ? masked : { ...masked, transfer: { from, mode, stopGradient } }
    }
    case 'next-sentence':
      return head.read === 'mean' ? { ...common, kind: head.kind, read: 'mean' } : { ...common, kind: head.kind }
    case 'bigram-shift':
      return { ...common, kind: head.kind, level: head.level, read: head.read }
  }
}

/** The kind of head that each kind of task takes when the recipe leaves it open. */
const KINDS: Record<Exclude<TaskKind, 'classification'>, TaskHeadConfig['kind']> = {
  regression: 'regressor',
  ranking: 'ranker',
  span: 'span',
  tagging: 'tagger',
  parsing: 'parser',
}

function taskHeadConfig(shape: TaskShape, { head, weight }: ResolvedTask): TaskHeadConfig {
  const { dropout, pooler, poolerSize, steps, predictionDropout, pairKind, arcSize, labelSize } = head
  const common = { name: shape.name, tap: tapOf(head), weight, dropout }
  const usual = shape.kind === 'classification' ? (shape.pair ? pairKind : 'classifier') : KINDS[shape.kind]
  const kind = head.kind === 'auto' ? usual : head.kind
  const classes = shape.classes ?? 2
  const pooled = { pooler, ...(poolerSize !== undefined && { poolerSize }) }
  switch (kind) {
    case 'classifier':
      return { ...common, kind, classes, ...pooled }
    case 'regressor':
    case 'ranker':
      return { ...common, kind, ...pooled }
    case 'san':
      return { ...common, kind, classes, steps, predictionDropout }
    case 'span':
      return { ...common, kind }
    case 'tagger':
      return { ...common, kind, classes }
    case 'parser':
      return { ...common, kind, classes, ...(shape.tags && { tags: shape.tags }), arcSize, labelSize }
  }
}

function tapOf({ layer, mix }: { layer: number; mix?: string }): Tap {
  return mix === undefined ? { layer } : { mix }
}

/** Sizes as published: PALs, low rank, Houlsby and projected attention in Stickland & Murray 2019 (arXiv 1902.02671) and its code. */
const ADAPTER_SIZES: Record<RecipeAdapter['kind'], Omit<AdapterConfig, 'name' | 'kind'>> = {
  pal: { size: 204, heads: 6, outputGelu: true },
  'low-rank': { size: 100 },
  houlsby: { size: 50 },
  lhuc: {},
  'top-attention': { size: 204, heads: 12, blocks: 6 },
  'top-layer': {},
  lora: { size: 8, alpha: 16 },
}

/** The adapter of one task: what the recipe says, else the sizes as published. */
export function adapterConfig(name: string, adapter: RecipeAdapter, encoderHeads: number): AdapterConfig {
  const given = Object.fromEntries(Object.entries(adapter).filter(([, value]) => value !== undefined))
  const heads = adapter.kind === 'top-layer' ? { heads: encoderHeads } : {}
  return { name, ...ADAPTER_SIZES[adapter.kind], ...heads, ...(given as unknown as Pick<AdapterConfig, 'kind'>) }
}
