/** What a user who chose no precision should know of this processor. */
import { type Model, productRates } from '../model/index.js'
import { multipliesBf16, type ProductRates } from '../runtime/index.js'
import type { ResolvedRecipe } from './resolve-recipe.js'

/** Steps of narrower encoders are not made of products. */
const LEAST_WIDTH = 256
/** How many times as fast a bf16 product has to be. */
const WORTH_IT = 1.3

/** A hint at bf16 where float32 was nobody's choice; empty where there is nothing to gain. Measures some 20 ms on such a processor. */
export function precisionNotes({ precision }: Pick<ResolvedRecipe, 'precision'>, model: Model): string[] {
  const chosen = precision !== 'auto' || model.precision !== 'fp32' || model.device !== 'cpu'
  return chosen || model.config.encoder.hiddenSize < LEAST_WIDTH || !multipliesBf16() ? [] : bf16Notes(productRates())
}

export function bf16Notes({ fp32, bf16 }: ProductRates): string[] {
  const times = bf16 / fp32
  return times < WORTH_IT
    ? []
    : [
        `computing in float32, the default on processors; this one multiplies bf16 ${times.toFixed(1)} times as fast: --precision bf16 takes less time`,
      ]
}
