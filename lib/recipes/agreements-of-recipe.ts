/** What a recipe's `agreements` mean for data, model and stages. */
import type { ChunkOptions } from '../data/index.js'
import type { AgreementConfig, AgreementHeadConfig } from '../model/index.js'
import { RELATION_PRESETS, type RelationOptions } from '../text/index.js'
import type { RecipeProblem } from './recipe-problems.js'
import type { ResolvedRecipe, ResolvedStage } from './resolve-recipe.js'
import type { ParsedRecipe } from './schema.js'

/** Names of the relations, which are those of their heads; none without agreements. */
export function relationNames({ agreements }: Pick<ResolvedRecipe, 'agreements'>): string[] {
  return agreements ? Object.keys(relationOptions(agreements).groups) : []
}

/** The relations that the encoder reads: one that is off costs no time of the budget. */
export function activeRelations(recipe: Pick<ResolvedRecipe, 'agreements'>): string[] {
  return relationNames(recipe).filter((relation) => !recipe.agreements?.off.includes(relation))
}

function relationOptions({ preset, groups, unit }: NonNullable<ResolvedRecipe['agreements']>): RelationOptions {
  const chosen: RelationOptions = RELATION_PRESETS[preset]
  return { unit: unit ?? chosen.unit, groups: groups ?? chosen.groups }
}

/** Which chunks a recipe's corpus gets; undefined without agreements. */
export function chunkOptions({ agreements, batch }: ResolvedRecipe): ChunkOptions | undefined {
  return agreements && { ...relationOptions(agreements), longestSentence: batch.sequenceTokens }
}

/** The submodels and the heads that train them. */
export function agreementParts(recipe: Pick<ResolvedRecipe, 'agreements'>): {
  agreements?: AgreementConfig
  heads: AgreementHeadConfig[]
} {
  const { agreements } = recipe
  if (!agreements) return { heads: [] }
  const {
    size,
    layers,
    heads,
    intermediateSize = 4 * size,
    gateInit,
    off,
    fixedGates,
    submodelRate,
    weight,
  } = agreements
  const relations = relationNames(recipe)
  const { unit } = relationOptions(agreements)
  return {
    agreements: {
      relations,
      size,
      layers,
      heads,
      intermediateSize,
      gateInit,
      ...(off.length > 0 && { off }),
      ...(fixedGates && { fixedGates }),
      ...(submodelRate > 0 && { train: true }),
      ...(unit === 'word' && { unit }),
    },
    heads: relations.map((relation) => ({ kind: 'agreement', name: relation, relation, weight })),
  }
}

const DEFAULT_BUDGET_SHARE = 0.1

/** The share of the submodels' own stage filled in; a recipe that writes its stages has no such stage. */
export function withBudgetShare(
  agreements: NonNullable<ParsedRecipe['agreements']>,
  { stages }: Pick<ParsedRecipe, 'stages'>,
): NonNullable<ParsedRecipe['agreements']> {
  const { budgetShare = stages ? undefined : DEFAULT_BUDGET_SHARE } = agreements
  return { ...agreements, ...(budgetShare !== undefined && { budgetShare }) }
}

/**
 * The two stages of DACBERT inside the budget of one: `agreements` trains the submodels, `pretrain` the encoder with them. Each has the
 * whole of the schedule in its own share; what the first takes longer than its share, the second has less. With every relation off there
 * is nothing to train before the encoder.
 */
export function agreementStages(recipe: ResolvedRecipe, whole: ResolvedStage): ResolvedStage[] {
  const { agreements } = recipe
  const relations = activeRelations(recipe)
  if (!agreements?.budgetShare || relations.length === 0) return [whole]
  const { budgetShare, learningRate } = agreements
  const budgets = sharedBudget(whole.budget, budgetShare)
  return [
    {
      ...whole,
      name: 'agreements',
      heads: relations,
      tasks: [],
      budget: budgets[0],
      optimizer: { ...whole.optimizer, learningRate: learningRate ?? whole.optimizer.learningRate },
    },
    { ...whole, name: 'pretrain', heads: Object.keys(recipe.heads), budget: budgets[1] },
  ]
}

/** A stage that trains the encoder moves the submodels at their own rate. */
export function withSubmodelRate(recipe: ResolvedRecipe, stage: ResolvedStage): ResolvedStage {
  const { submodelRate = 0 } = recipe.agreements ?? {}
  const readsEncoder = stage.tasks.length > 0 || stage.heads.some((head) => Object.hasOwn(recipe.heads, head))
  if (submodelRate === 0 || !readsEncoder) return stage
  // Gates and projections are the encoder's own: the factor is for the submodels below them.
  const slow = relationNames(recipe).flatMap((relation): [string, number][] => [
    [`agreements.${relation}.`, submodelRate],
    [`agreements.${relation}.projection`, 1],
  ])
  const rateFactors = { ...stage.optimizer.rateFactors, ...Object.fromEntries(slow) }
  return { ...stage, optimizer: { ...stage.optimizer, rateFactors } }
}

type StageBudget = ResolvedStage['budget']

/** The last part ends where the whole does; of passes each part has its own. */
function sharedBudget({ steps, tokens, epochs, hours }: StageBudget, share: number): [StageBudget, StageBudget] {
  if (steps !== undefined) {
    const first = Math.min(Math.max(1, Math.round(steps * share)), steps - 1)
    return [{ steps: first }, { steps: steps - first, total: steps }]
  }
  const cut = (amount: number): [number, number] => [amount * share, amount * (1 - share)]
  if (tokens !== undefined) {
    const [first, second] = cut(tokens)
    return [{ tokens: first }, { tokens: second, total: tokens }]
  }
  if (hours !== undefined) {
    const [first, second] = cut(hours)
    return [{ hours: first }, { hours: second, total: hours }]
  }
  const [first, second] = cut(epochs ?? 0)
  return [{ epochs: first }, { epochs: second }]
}

/** Of the parameters beside the relations' own, `agreements.gates`. */
const GATES = 'gates'
const STAGE_KEYS = ['budgetShare', 'learningRate'] as const

/** Faults of `agreements` that no single key shows. */
export function agreementFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const { agreements, inputs } = recipe
  if (!agreements) return []
  if (Object.keys(recipe.heads).length === 0) {
    const message =
      'came in a recipe without a head on text, which trains no submodels; a checkpoint keeps the agreements that it has: remove the key, and switch them where they are trained (`dacbert`)'
    return [{ key: 'agreements', message }]
  }
  const problems: RecipeProblem[] = []
  const add = (key: string, message: string) => problems.push({ key: `agreements.${key}`, message })
  const relations = relationNames(recipe)
  const { size, heads, intermediateSize } = agreements
  if (relations.length === 0) add('groups', 'came without a group, expected at least one, like { subj: [nsubj] }')
  const unknown = agreements.off.find((relation) => !relations.includes(relation))
  if (unknown !== undefined) add('off', `names "${unknown}", expected some of ${relations.join(', ')}`)
  const taken = relations.find(
    (relation) => Object.hasOwn(recipe.heads, relation) || Object.hasOwn(recipe.tasks, relation),
  )
  if (taken !== undefined) add('groups', `names "${taken}" like a head or task, expected another name`)
  if (relations.includes(GATES))
    add('groups', `names "${GATES}", which the model keeps its gates under, expected another name`)
  if (size % heads !== 0) add('size', `came ${size}, expected a multiple of agreements.heads = ${heads}`)
  if (intermediateSize !== undefined && intermediateSize % 2 !== 0)
    add('intermediateSize', `came ${intermediateSize}, expected an even number: half of it are gates`)
  if (inputs.kind !== 'packed')
    problems.push({ key: 'inputs.kind', message: `came "${inputs.kind}", expected "packed" with agreements` })
  for (const key of STAGE_KEYS) {
    if (recipe.stages && agreements[key] !== undefined)
      add(
        key,
        'is of the stage that the submodels get in a recipe without `stages`; remove it, and give the stages their own',
      )
  }
  if (!recipe.stages && agreements.budgetShare && (recipe.budget?.steps ?? 2) < 2)
    problems.push({ key: 'budget.steps', message: 'came 1, expected at least 2: one for each stage' })
  return problems
}
