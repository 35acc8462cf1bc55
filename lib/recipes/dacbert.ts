import { cramming } from './cramming.js'
import type { Values } from './merge.js'
import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

const { values: final } = cramming.presets['bert-o4']

/**
 * DACBERT (Kuo, Zhang, Chen 2023, arXiv 2311.04799; v2 "DA-Cramming"): dependency agreement pre-training on Crammed BERT. Four submodels
 * learn agreements between the chunks of a sentence; their embeddings, beside the ordinary ones, guide the pre-training of the rest; both
 * stages share the budget of Crammed BERT.
 *
 * That much the abstract says, which is all that we know of the paper. Names of the agreements, chunks, parser, submodels, their objective,
 * the merge, the split of the time and all numbers are not in it, and we found no code: all of `agreements` is our choice, see
 * docs/dacbert.md. Everything else is the recipe `cramming`, which `--set agreements=null` leaves.
 */
export const dacbert: NamedRecipe = {
  name: 'dacbert',
  description: 'DACBERT: submodels of dependency agreements, then Crammed BERT with them, in one budget',
  source: 'Kuo, Zhang, Chen 2023, arXiv 2311.04799',
  base: defineRecipe({ ...cramming.base, agreements: { preset: 'default' } }),
  presets: {
    full: { description: "Crammed BERT's size and a day, with its code's final setting", values: final },
    bacon: {
      description: 'as full, with the four agreements of Bacon & Regier (arXiv 1908.09892) between words',
      values: { ...final, agreements: { preset: 'bacon' } },
    },
    medium: {
      description: '6 layers × 512, some hours on one small GPU',
      values: {
        ...final,
        encoder: { layers: 6, hiddenSize: 512, heads: 8, intermediateSize: 2048 },
        // A small vocabulary cuts prose into more tokens: the filter then lets more of them pass.
        text: { ...(final.text as Values), maxTokensPerCharacter: 0.3 },
        tokenizer: { train: { vocabSize: 16_384 } },
        batch: { tokens: 2048, accumulation: 8, accumulationRamp: 0.6 },
        budget: { hours: 4 },
        evaluation: { everySteps: 100 },
        checkpoint: { everySteps: 100 },
      },
    },
    cpu: {
      description: 'as `cpu` of cramming with submodels of 64, half an hour on a processor',
      values: { ...cramming.presets.cpu.values, agreements: { size: 64 } },
    },
  },
  defaultPreset: 'full',
}
