/** How long sequences are where the checkpoint to start from has fewer positions than the recipe usually takes. */
import { isValues, type Values } from './merge.js'
import { findNamedRecipe } from './named-recipes.js'
import type { ResolvedRecipe } from './resolve-recipe.js'

/** `batch.sequenceTokens` of the last layer of values that has one. */
function usualTokens(layers: readonly Values[]): number {
  const lengths = layers.map(({ batch }) => (isValues(batch) ? batch.sequenceTokens : undefined))
  return lengths.findLast((length) => typeof length === 'number') ?? 0
}

/** Values over a named recipe's `layers` that leave its sequences no longer than the encoder's positions; what a user sets comes after. */
export function fittingSequences(layers: readonly Values[], maxPositions: number): Values {
  return usualTokens(layers) > maxPositions ? { batch: { sequenceTokens: maxPositions } } : {}
}

/** Tells of sequences that are shorter than the named recipe's for that reason. */
export function sequenceNotes(
  recipe: Pick<ResolvedRecipe, 'extends' | 'preset' | 'init' | 'batch' | 'encoder'>,
): string[] {
  const { batch, encoder, init, preset } = recipe
  if (init === undefined || batch.sequenceTokens !== encoder.maxPositions) return []
  const named = recipe.extends === undefined ? undefined : findNamedRecipe(recipe.extends)
  const usual = usualTokens([
    named?.base ?? {},
    (preset !== undefined && named?.presets[preset]?.values) || {},
  ] as Values[])
  if (usual <= encoder.maxPositions) return []
  return [
    `batch.sequenceTokens is ${batch.sequenceTokens}, the recipe's own ${usual}: the checkpoint to start from has positions for no more`,
  ]
}
