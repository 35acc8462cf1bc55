import type { CorpusView } from '../data/index.js'
import {
  type PretrainingHeads,
  type PretrainingSource,
  packedMaskedLmSource,
  pretrainingSource,
} from '../objectives/index.js'
import type { Tokenizer } from '../text/index.js'
import { relationNames } from './agreements-of-recipe.js'
import type { ResolvedRecipe } from './resolve-recipe.js'

export interface SourceOptions {
  view: CorpusView
  tokenizer: Tokenizer
  /** Heads that get labels. */
  heads: readonly string[]
  batch: { tokens: number; sequenceTokens: number }
  /** Held-out data: the same batches at every pass. */
  evaluation: boolean
}

/** The joint task of a recipe's self-supervised heads over some documents of a corpus. */
export function recipeSource(recipe: ResolvedRecipe, options: SourceOptions): PretrainingSource {
  const { view, tokenizer, batch, evaluation } = options
  const { kind } = recipe.inputs
  if (kind === 'packed') return packedSource(recipe, options)
  // A stage without next-sentence labels still sees the recipe's pairs, so that stages differ in their heads alone.
  const pairs = Object.values(recipe.heads).some((head) => head.kind === 'next-sentence')
  return pretrainingSource({
    corpus: view.corpus,
    documents: view.documents,
    special: tokenizer.specialTokens,
    heads: objectivesOf(recipe, options.heads),
    pieces: tokenizer.lowercase ? undefined : tokenizer.vocabulary(),
    batchTokens: batch.tokens,
    maxSequenceTokens: batch.sequenceTokens,
    seed: recipe.seed,
    evaluation,
    input: kind === 'auto' ? (pairs ? 'pairs' : 'segments') : kind,
    shortShare: recipe.inputs.shortShare,
  })
}

function packedSource(
  recipe: ResolvedRecipe,
  { view, tokenizer, heads, batch, evaluation }: SourceOptions,
): PretrainingSource {
  const relations = relationNames(recipe).filter((relation) => heads.includes(relation))
  return packedMaskedLmSource({
    corpus: view.corpus,
    documents: view.documents,
    special: tokenizer.specialTokens,
    mlm: objectivesOf(recipe, heads).mlm ?? recipe.masking,
    agreements: recipe.agreements && Object.fromEntries(relations.map((relation) => [relation, relation])),
    plainShare: recipe.agreements?.plainShare,
    batchTokens: batch.tokens,
    sequenceTokens: batch.sequenceTokens,
    order: recipe.inputs.order,
    fullStopId: tokenizer.tokenToId('.'),
    seed: recipe.seed,
    evaluation,
  })
}

function objectivesOf(recipe: ResolvedRecipe, names: readonly string[]): PretrainingHeads {
  const objectives: PretrainingHeads = {}
  const { probability, rate, labelMaskedTokens } = recipe.bigramShift
  for (const name of names.filter((name) => Object.hasOwn(recipe.heads, name))) {
    const head = recipe.heads[name]
    if (head.kind === 'masked-lm') objectives.mlm = { name, ...recipe.masking }
    else if (head.kind === 'next-sentence') objectives.nsp = { name }
    else {
      const level = head.level === 'sentence' ? { sentenceHead: name } : { tokenHead: name }
      objectives.bshift = { probability, rate, labelMaskedTokens, ...objectives.bshift, ...level }
    }
  }
  return objectives
}
