import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * BERT's pre-training (Devlin et al. 2019, arXiv 1810.04805): masked LM and next sentence, both at the top layer, summed
 * without weights. The baseline of `hierarchical-pretrain`.
 *
 * As published: 15 % of the tokens are predicted (80 % [MASK], 10 % random, 10 % as they are), pairs with 50 % random
 * second parts, 10 % short inputs, AdamW with betas 0.9 and 0.999, weight decay 0.01 (not on biases and LayerNorm), linear
 * decay after a warm-up, gradients clipped at norm 1.
 *
 * Deliberate differences, all of them keys of the recipe:
 * - the encoder is small (6 layers × 256, vocabulary 8,192) and the budget 20 M tokens, so that it trains on a laptop's CPU.
 *   BERT-base: `encoder: { layers: 12, hiddenSize: 768 }`, `tokenizer: { train: { vocabSize: 30522 } }`;
 * - learning rate 1e-3, as suits that size (BERT-base: 1e-4; continuing a trained encoder: 2e-4 or less);
 * - dropout 0 (BERT 0.1): with little training, regularisation costs more than it brings;
 * - inputs of 128 tokens throughout (BERT: 512 in the last tenth of the steps).
 *
 * Bigram shift (Aksoy et al. 2020) can join at the top with `--set bigramShift.level=sentence`, for comparisons at equal tasks.
 */
export const bertPretrain: NamedRecipe = {
  name: 'bert-pretrain',
  description: 'BERT pre-training: masked LM and next sentence, every head at the top layer',
  source: 'Devlin, Chang, Lee, Toutanova 2019, arXiv 1810.04805',
  base: defineRecipe({
    encoder: { layers: 6, hiddenSize: 256 },
    tokenizer: { train: { vocabSize: 8192, lowercase: true } },
    heads: {
      mlm: { kind: 'masked-lm', layer: 'top', weight: 1 },
      nsp: { kind: 'next-sentence', layer: 'top', weight: 1 },
    },
    bigramShift: { level: 'none', layer: 'top', read: 'mean', probability: 0.5, rate: 0, weight: 1 },
    masking: { maskShare: 0.15, maskTokenShare: 0.8, randomTokenShare: 0.1, wholeWord: false, exact: false },
    inputs: { kind: 'auto', shortShare: 0.1 },
    batch: { tokens: 2048, accumulation: 1, sequenceTokens: 128 },
    optimizer: { kind: 'adamw', learningRate: 1e-3, weightDecay: 0.01 },
    schedule: { kind: 'linear', warmup: 0.06, finalFactor: 0 },
    clip: { maxGradNorm: 1 },
    budget: { tokens: 20_000_000 },
    evaluation: { everySteps: 500, documents: 'auto' },
    checkpoint: { everySteps: 1000, keep: 3 },
    log: { everySteps: 10 },
  }),
  presets: {
    top: { description: 'masked LM and next sentence at the top layer', values: {} },
  },
  defaultPreset: 'top',
}
