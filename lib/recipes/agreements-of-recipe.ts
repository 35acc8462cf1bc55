/** What a recipe's `agreements` mean for data, model and stages. */
import type { ChunkOptions } from '../data/index.js'
import type { AgreementConfig, AgreementHeadConfig } from '../model/index.js'
import { RELATION_PRESETS, type RelationOptions } from '../text/index.js'
import type { RecipeProblem } from './recipe-problems.js'
import type { ResolvedRecipe, ResolvedStage } from './resolve-recipe.js'

/** Names of the relations, which are those of their heads; none without agreements. */
export function relationNames({ agreements }: Pick<ResolvedRecipe, 'agreements'>): string[] {
  return agreements ? Object.keys(relationOptions(agreements).groups) : []
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

/**
 * The two stages of DACBERT inside the budget of one: `agreements` trains the submodels, `pretrain` the encoder with them. Each has the
 * whole of the schedule in its own share; what the first takes longer than its share, the second has less.
 */
export function agreementStages(recipe: ResolvedRecipe, whole: ResolvedStage): ResolvedStage[] {
  const { agreements } = recipe
  if (!agreements || agreements.budgetShare === 0) return [whole]
  const { budgetShare, learningRate, submodelRate } = agreements
  const relations = relationNames(recipe)
  const budgets = sharedBudget(whole.budget, budgetShare)
  // Gates and projections are the encoder's own: the factor is for the submodels below them.
  const slow = relations.flatMap((relation): [string, number][] => [
    [`agreements.${relation}.`, submodelRate],
    [`agreements.${relation}.projection`, 1],
  ])
  const rateFactors = { ...whole.optimizer.rateFactors, ...(submodelRate > 0 && Object.fromEntries(slow)) }
  const optimizer = { ...whole.optimizer, ...(Object.keys(rateFactors).length > 0 && { rateFactors }) }
  return [
    {
      ...whole,
      name: 'agreements',
      heads: relations,
      tasks: [],
      budget: budgets[0],
      optimizer: { ...whole.optimizer, learningRate: learningRate ?? whole.optimizer.learningRate },
    },
    { ...whole, name: 'pretrain', heads: Object.keys(recipe.heads), budget: budgets[1], optimizer },
  ]
}

type StageBudget = ResolvedStage['budget']

/** The last part ends where the whole does. */
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

/** Faults of `agreements` that no single key shows. */
export function agreementFaults(recipe: ResolvedRecipe): RecipeProblem[] {
  const { agreements, inputs } = recipe
  if (!agreements) return []
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
  if (size % heads !== 0) add('size', `came ${size}, expected a multiple of agreements.heads = ${heads}`)
  if (intermediateSize !== undefined && intermediateSize % 2 !== 0)
    add('intermediateSize', `came ${intermediateSize}, expected an even number: half of it are gates`)
  if (inputs.kind !== 'packed')
    problems.push({ key: 'inputs.kind', message: `came "${inputs.kind}", expected "packed" with agreements` })
  if (!recipe.stages && agreements.budgetShare > 0 && (recipe.budget?.steps ?? 2) < 2)
    problems.push({ key: 'budget.steps', message: 'came 1, expected at least 2: one for each stage' })
  return problems
}
