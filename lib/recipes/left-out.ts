/** What the inputs of raw text leave out, in words. */
import type { PlanStatistics } from '../data/index.js'
import { recipeSource } from './pretraining-sources.js'
import { stagesOf } from './recipe-stages.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import type { RunData } from './run-data.js'

const number = (value: number): string => value.toLocaleString('en-US')

/** Tokens that are cut off, documents without a next-sentence label, documents without a token. */
export function describeLeftOut(statistics: PlanStatistics): string {
  const { tokens, cutTokens, singleSentenceDocuments, emptyDocuments, documents } = statistics
  const cut = `${number(cutTokens)} tokens cut off at the length limit (${((100 * cutTokens) / (tokens + cutTokens || 1)).toFixed(1)} %)`
  const single = `${number(singleSentenceDocuments)} of ${number(documents)} documents with one sentence, without a next-sentence label`
  return [cut, single, `${number(emptyDocuments)} without a token, left out`].join('; ')
}

function leavesOut({ cutTokens, singleSentenceDocuments, emptyDocuments }: PlanStatistics): boolean {
  return cutTokens + singleSentenceDocuments + emptyDocuments > 0
}

/** What the first pass over raw text leaves out; stages that cut it alike say it once. */
export function leftOutNotes(recipe: ResolvedRecipe, { text, tokenizer }: RunData): string[] {
  if (!text) return []
  const lines = stagesOf(recipe)
    .filter(({ heads }) => heads.length > 0)
    .map(({ heads, batch }) =>
      recipeSource(recipe, { view: text.training, tokenizer, heads, batch, evaluation: false }).statistics(0),
    )
    .filter(leavesOut)
    .map((statistics) => `of a pass over the text: ${describeLeftOut(statistics)}`)
  return [...new Set(lines)]
}
