import { fineTune } from './fine-tune.js'
import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * BERMo (Kodge & Roy 2021, arXiv 2110.15802): the task's head reads a learned mix of all layers in place of the last one, by
 * ELMo's R = γ Σ softmax(w)_j h_j, one number a layer.
 *
 * Of the paper we know the abstract alone; it does not say what "scaled" means, which layers and tokens take part and how the numbers
 * start. Therefore our choice, each a key:
 *
 * | choice | key | default |
 * |---|---|---|
 * | the embedding output takes part | `mixes.bermo.includeEmbeddings` | false |
 * | layers are normalised before they are added | `mixes.bermo.layerNorm` | no: a post-LN encoder has done so; yes with a crammed one |
 * | start of w | `mixes.bermo.init` | `last`: nearly all on the top layer, near to what the pooler knew |
 * | learning rate of w and γ | `optimizer.rateFactors` | 1 |
 * | weight decay of w and γ | – | 0 |
 * | one mix for all heads, or one each | `tasks.<name>.head.mix`, `mixes` | one for all |
 *
 * What is not said here is as in `fine-tune`, so that the two compare at equal everything else. The learned weights stand in
 * `metrics.jsonl` at every evaluation.
 */
export const bermo: NamedRecipe = {
  name: 'bermo',
  description: 'fine-tuning on a learned mix of all layers',
  source: 'Kodge, Roy 2021, arXiv 2110.15802',
  base: defineRecipe({
    ...fineTune.base,
    mixes: { bermo: { includeEmbeddings: false, init: 'last' } },
    taskDefaults: { head: { mix: 'bermo', pooler: 'shared', dropout: 0.1 } },
  }),
  presets: {
    last: { description: 'the mix starts on the top layer', values: {} },
    uniform: {
      description: 'the mix starts with equal shares, as from scratch',
      values: { mixes: { bermo: { init: 'uniform' } } },
    },
  },
  defaultPreset: 'last',
  exampleData: { rte: 'GLUE/RTE' },
}
