import { bertPretrain } from './bert-pretrain.js'
import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * Hierarchical multi-task pre-training (Aksoy, Ahmetoglu, Gungor 2020, arXiv 2011.04451): masked LM, next sentence and bigram
 * shift are attached at different layers of one encoder, and next-sentence information is handed to the masked LM.
 *
 * Of the paper we know the abstract alone; it does not say which task sits at which layer, how the information is handed over and how
 * bigram shift is built. All of that is therefore our choice, and every item is a key:
 *
 * | choice | key | default |
 * |---|---|---|
 * | layer of each task | `heads.<name>.layer`, `bigramShift.layer` | next sentence at max(2, round(L / 2)), masked LM at L, bigram shift at max(2, round(L / 3)) |
 * | what next sentence is read from | `heads.nsp.read` | the mean of the input's states: at a low layer of an encoder that was trained elsewhere [CLS] may look at nothing but itself |
 * | how next sentence reaches masked LM | `heads.mlm.transfer.mode` | `concat`: GELU(W [h ; p]), p = the next-sentence head's pooled vector |
 * | may the masked-LM loss reach the lower head | `heads.mlm.transfer.stopGradient` | false (it may) |
 * | one label a sentence or a token, or both | `bigramShift.level` | sentence |
 * | what a sentence's label is read from | `bigramShift.read` | the mean of the sentence's states |
 * | how often a sentence has a swapped pair | `bigramShift.probability` | 0.5 (as SentEval's probe) |
 * | further swaps in a swapped sentence | `bigramShift.rate` | 0 (one pair) |
 * | are masked tokens labelled at the token level | `bigramShift.labelMaskedTokens` | true: every token of the text has a label |
 * | weight of each loss | `heads.<name>.weight`, `bigramShift.weight` | 1 |
 *
 * Order of corruption: swap first, then mask; swapped words are never masked. What is not said here is as in `bert-pretrain`,
 * so that the two compare at equal everything else.
 */
export const hierarchicalPretrain: NamedRecipe = {
  name: 'hierarchical-pretrain',
  description:
    'each pre-training task at its own layer, next sentence handed to masked LM; bigram shift lowest (layers: ours)',
  source: 'Aksoy, Ahmetoglu, Gungor 2020, arXiv 2011.04451',
  base: defineRecipe({
    ...bertPretrain.base,
    heads: { ...bertPretrain.base.heads, nsp: { kind: 'next-sentence', layer: 'top', weight: 1, read: 'mean' } },
    bigramShift: { level: 'sentence', layer: 'third', read: 'mean', probability: 0.5, rate: 0, weight: 1 },
  }),
  presets: {
    'lower-nsp+transfer': {
      description: 'next sentence at half the depth, masked LM at the top reads its pooled vector',
      values: {
        heads: {
          nsp: { layer: 'half' },
          mlm: { layer: 'top', transfer: { from: 'nsp', mode: 'concat', stopGradient: false } },
        },
      },
    },
    'lower-nsp': {
      description: 'next sentence at half the depth, masked LM at the top',
      values: { heads: { nsp: { layer: 'half' }, mlm: { layer: 'top' } } },
    },
    'lower-mlm': {
      description: 'masked LM at half the depth, next sentence at the top',
      values: { heads: { nsp: { layer: 'top' }, mlm: { layer: 'half' } } },
    },
    baseline: {
      description: 'every task at the top layer, bigram shift included',
      values: { heads: { nsp: { layer: 'top' }, mlm: { layer: 'top' } }, bigramShift: { layer: 'top' } },
    },
  },
  defaultPreset: 'lower-nsp+transfer',
}
