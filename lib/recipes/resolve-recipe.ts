import { nearest } from '../edit-distance.js'
import type { EncoderConfig } from '../model/config.js'
import { activeTasks } from './active-tasks.js'
import { withBudgetShare } from './agreements-of-recipe.js'
import { checkAcrossKeys } from './cross-checks.js'
import { isOtherKind, isValues, mergeValues, type Values } from './merge.js'
import { findNamedRecipe, type NamedRecipe, unknownRecipe } from './named-recipes.js'
import { type Locate, type RecipeProblem, recipeError, schemaProblems } from './recipe-problems.js'
import { type LayerPlace, type ParsedRecipe, type RecipeHead, type RecipeTask, recipeSchema } from './schema.js'
import { fittingSequences } from './sequence-length.js'

type Resolved<Head> = Head extends { layer: LayerPlace } ? Omit<Head, 'layer'> & { layer: number } : never
export type ResolvedHead = Resolved<RecipeHead>
export type ResolvedTask = Omit<RecipeTask, 'head'> & { head: Omit<RecipeTask['head'], 'layer'> & { layer: number } }
type ParsedStage = NonNullable<ParsedRecipe['stages']>[number]
export type ResolvedStage = Omit<
  ParsedStage,
  'eachTask' | 'name' | 'heads' | 'tasks' | 'sampler' | 'train' | 'freeze' | 'budget'
> & {
  name: string
  /** `total` as in {@link Budget}: of stages that share one. */
  budget: ParsedStage['budget'] & { total?: number }
  heads: string[]
  tasks: string[]
  sampler: ParsedRecipe['sampler']
  train: ParsedRecipe['train']
  freeze: string[]
}

export type ResolvedMix = ParsedRecipe['mixes'][string] & { layerNorm: boolean }

/** A recipe in which nothing is left open: every default is filled in and every layer is a number. */
export interface ResolvedRecipe
  extends Omit<ParsedRecipe, 'encoder' | 'heads' | 'tasks' | 'mixes' | 'taskDefaults' | 'taskSettings'> {
  encoder: Omit<EncoderConfig, 'vocabSize'>
  heads: Record<string, ResolvedHead>
  tasks: Record<string, ResolvedTask>
  mixes: Record<string, ResolvedMix>
}

export interface ResolveOptions {
  /** Values laid over the recipe's own, like those of `--set`. */
  overlay?: Values
  /** The checkpoint that the run starts from: its encoder and tokenizer stand in for the recipe's. */
  init?: { folder: string; encoder: EncoderConfig }
  /** Name in messages. */
  label?: string
  locate?: Locate
}

/**
 * Lays preset, own values and overlay over the extended recipe, checks the whole and resolves what is relative.
 * Throws BAD_RECIPE with every problem found.
 */
export function resolveRecipe(values: Values, options: ResolveOptions = {}): ResolvedRecipe {
  const label = options.label ?? 'recipe'
  const merged = inheritStages(activeTasks(expandShorthands(layersOf(values, options, label))))
  const parsed = recipeSchema.safeParse(merged)
  if (!parsed.success) {
    throw recipeError(withHints(schemaProblems(parsed.error, recipeSchema, merged, options.locate), merged), label)
  }
  const resolved = resolveRelative(parsed.data)
  const own = mergeValues(values, options.overlay ?? {})
  const problems = [...initConflicts(own, options.init), ...checkAcrossKeys(resolved)]
  if (problems.length > 0) throw recipeError(problems, label)
  return resolved
}

/** The values from the lowest to the one with the last word: base, preset, checkpoint, own values, overlay. */
function layersOf(values: Values, options: ResolveOptions, label: string): Values[] {
  const own = mergeValues(values, options.overlay ?? {})
  const layers: Values[] = []
  if (own.resolved !== true) {
    const base = typeof own.extends === 'string' ? findNamedRecipe(own.extends) : undefined
    if (typeof own.extends === 'string' && !base) throw unknownRecipe(own.extends)
    const preset = own.preset ?? base?.defaultPreset
    if (base) layers.push(base.base as Values)
    if (typeof preset === 'string') layers.push(presetValues(base, preset, label), { preset })
  } else if (options.overlay?.preset !== undefined) {
    throw recipeError(
      [{ key: 'preset', message: 'cannot be chosen for a resolved recipe; start from the named one' }],
      label,
    )
  }
  if (options.init) {
    const { vocabSize: _, hiddenDropout: __, attentionDropout: ___, ...shape } = options.init.encoder
    layers.push({ encoder: shape, tokenizer: options.init.folder, ...fittingSequences(layers, shape.maxPositions) })
  }
  return [...layers, values, options.overlay ?? {}]
}

function presetValues(base: NamedRecipe | undefined, preset: string, label: string): Values {
  if (base && Object.hasOwn(base.presets, preset)) return base.presets[preset].values
  const known = Object.keys(base?.presets ?? {})
  const near = nearest(preset, known)
  const message = base
    ? `came "${preset}", expected one of ${known.join(', ')}${near ? `; did you mean "${near}"?` : ''}`
    : `came "${preset}", but only a recipe with "extends" has presets`
  throw recipeError([{ key: 'preset', message }], label)
}

/**
 * Joins the layers. `bigramShift` becomes the heads `bshift` and `bshiftToken`, over which every layer's own `heads` are laid
 * again, so that `heads.bshift.layer=3` and `heads.bshift=null` have the last word.
 */
function expandShorthands(layers: readonly Values[]): Values {
  const merged = layers.reduce((below, layer) => mergeValues(withoutReplaced(below, layer), layer), {})
  const shift = isValues(merged.bigramShift) ? merged.bigramShift : {}
  const pick = (...keys: string[]) =>
    Object.fromEntries(keys.flatMap((key) => (key in shift ? [[key, shift[key]]] : [])))
  const heads: Values = {}
  if (shift.level === 'sentence' || shift.level === 'both') {
    heads.bshift = { kind: 'bigram-shift', level: 'sentence', ...pick('layer', 'weight', 'read') }
  }
  if (shift.level === 'token' || shift.level === 'both') {
    heads.bshiftToken = { kind: 'bigram-shift', level: 'token', ...pick('layer', 'weight') }
  }
  if (merged.heads !== undefined && !isValues(merged.heads)) return merged
  const own = layers.flatMap((layer) => (isValues(layer.heads) ? [layer.heads] : []))
  return { ...merged, heads: own.reduce(mergeValues, heads) }
}

/** What a layer replaces as a whole: budget by stages, and a sampler, an adapter or pruning by one of another kind. */
function withoutReplaced(below: Values, layer: Values): Values {
  const kept = Object.entries(withoutOtherBudget(below, layer))
  return Object.fromEntries(kept.filter(([key, value]) => !isOtherKind(key, value, layer[key])))
}

/** Budget and stages exclude each other: what a layer says replaces the other one below it. */
function withoutOtherBudget(below: Values, layer: Values): Values {
  const { budget, stages, ...rest } = below
  const [hasBudget, hasStages] = [isValues(layer.budget), Array.isArray(layer.stages)]
  if (hasBudget === hasStages) return below
  return hasBudget ? { ...rest, budget } : { ...rest, stages }
}

function inheritStages(values: Values): Values {
  if (!Array.isArray(values.stages)) return values
  return { ...values, stages: values.stages.map((stage) => inheritedStage(stage, values)) }
}

/** A stage with the recipe's own optimiser, schedule, clipping and batch behind what the stage says itself. */
function inheritedStage(stage: unknown, values: Values): unknown {
  if (!isValues(stage)) return stage
  const inherited: Values = {}
  for (const key of ['optimizer', 'schedule', 'clip', 'batch']) if (isValues(values[key])) inherited[key] = values[key]
  return mergeValues(inherited, stage)
}

function resolveRelative(recipe: ParsedRecipe): ResolvedRecipe {
  const { layers, hiddenSize } = recipe.encoder
  const places = { top: layers, half: Math.max(2, Math.round(layers / 2)), third: Math.max(2, Math.round(layers / 3)) }
  const resolve = (place: LayerPlace) => (typeof place === 'number' ? place : places[place])
  const tapped = <Head extends { layer: LayerPlace; mix?: string }>(head: Head) => ({
    ...head,
    layer: head.mix === undefined ? resolve(head.layer) : layers,
  })
  const heads = Object.entries(recipe.heads).map(([name, head]) => [name, tapped(head)])
  const tasks = Object.entries(recipe.tasks).map(([name, task]): [string, ResolvedTask] => [
    name,
    { ...task, head: tapped(task.head) },
  ])
  const mixes = Object.entries(recipe.mixes).map(([name, mix]): [string, ResolvedMix] => [
    name,
    { ...mix, layerNorm: mix.layerNorm ?? recipe.encoder.kind === 'crammed' },
  ])
  const { taskDefaults: _, taskSettings: __, ...rest } = recipe
  return {
    ...rest,
    resolved: true,
    ...(recipe.agreements && { agreements: withBudgetShare(recipe.agreements, recipe) }),
    bigramShift: { ...recipe.bigramShift, level: levelOf(recipe), layer: resolve(recipe.bigramShift.layer) },
    encoder: {
      ...recipe.encoder,
      heads: recipe.encoder.heads ?? Math.max(1, Math.floor(hiddenSize / 64)),
      intermediateSize: recipe.encoder.intermediateSize ?? 4 * hiddenSize,
    },
    heads: Object.fromEntries(heads) as Record<string, ResolvedHead>,
    tasks: Object.fromEntries(tasks),
    mixes: Object.fromEntries(mixes),
  }
}

/** The shorthand says which heads there are, also after one was removed or written by hand. */
function levelOf(recipe: ParsedRecipe): ParsedRecipe['bigramShift']['level'] {
  const levels = Object.values(recipe.heads).flatMap((head) => (head.kind === 'bigram-shift' ? [head.level] : []))
  return levels.length > 1 ? 'both' : (levels[0] ?? 'none')
}

/** A shape that the recipe names itself must be the checkpoint's. */
function initConflicts(own: Values, init: ResolveOptions['init']): RecipeProblem[] {
  if (!init) return []
  const problems = Object.entries(isValues(own.encoder) ? own.encoder : {}).flatMap(([key, value]) => {
    const there = (init.encoder as unknown as Values)[key]
    if (/[dD]ropout$/.test(key) || there === undefined || value === there) return []
    const message = `came ${value}, but the checkpoint to start from has ${there}; remove the key, or train without init`
    return [{ key: `encoder.${key}`, message }]
  })
  if (isValues(own.tokenizer) && own.resolved !== true) {
    problems.push({
      key: 'tokenizer.train',
      message: 'a new vocabulary does not fit the checkpoint to start from; remove the key, or train without init',
    })
  }
  return problems
}

function withHints(problems: RecipeProblem[], merged: Values): RecipeProblem[] {
  return problems.map((problem) => {
    const match = /^heads\.(bshift|bshiftToken)\.kind$/.exec(problem.key)
    if (!match || !isValues(merged.bigramShift)) return problem
    const level = match[1] === 'bshift' ? 'sentence' : 'token'
    return { ...problem, message: `${problem.message}; bigramShift.level=${level} (or both) adds this head` }
  })
}
