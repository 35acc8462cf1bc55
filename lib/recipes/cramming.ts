import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * Crammed BERT (Geiping & Goldstein 2022, arXiv 2212.14034; code MIT): masked LM alone on packed sequences of 128 tokens, one pass over
 * plain English text, everything tied to a budget in hours.
 *
 * As published: the encoder of `encoder.kind: crammed` in 16 layers × 768, a vocabulary of 32,768, lower-case ASCII text without accents,
 * documents joined by [SEP] and cut without padding, exactly round(share × 128) targets a sequence with 80 / 10 / 10 of them as exact
 * counts and special tokens not exempt, no dropout, AdamW (0.9, 0.98, 1e-12, weight decay 0.01 but not on LayerNorm), gradients clipped at
 * norm 0.5, peak learning rate 1e-3 that reaches 0 as the budget ends, a batch that grows from one micro-batch of 128 sequences on.
 *
 * | preset | from | masked | rate over the budget | batch | documents removed | order |
 * |---|---|---|---|---|---|---|
 * | `paper` | the paper | 15 % | one-cycle | to 4,096 | tokens ≥ 0.3 × characters | likely sequences first |
 * | `bert-o4` | the code's final setting | 25 % | min(0.25 + x, 4 − 4x) | to 8,192 at 60 % of the budget | ≥ 0.25, copies | most full stops first |
 * | `bert-o3` | the code's legacy setting | 15.625 % | min(0.25 + x, 4 − 4x) | to 4,096 over 300,000 micro-batches | ≥ 0.3 | likely sequences first |
 * | `cpu` | ours: 4 layers × 256, half an hour | 25 % | min(0.25 + x, 4 − 4x), peak 2e-3 | 16 | ≥ 0.4, copies | shuffled |
 *
 * Deliberate differences, all of them keys of the recipe:
 * - tokens a character are counted with the run's own vocabulary, the code's with ALBERT's (`text.maxTokensPerCharacter`);
 * - copies of whole documents are removed, the code removes repeated substrings of 75 bytes (`text.dropDuplicates`), which did not help;
 * - the learning rate follows the clock once an optimiser step, not once a micro-batch;
 * - some documents are held out and judged (`evaluation.documents`); text is read again when the budget outlasts it.
 */
export const cramming: NamedRecipe = {
  name: 'cramming',
  description: 'Crammed BERT: masked LM on packed text inside a budget of hours',
  source: 'Geiping, Goldstein 2022, arXiv 2212.14034',
  base: defineRecipe({
    encoder: {
      kind: 'crammed',
      layers: 16,
      hiddenSize: 768,
      heads: 12,
      intermediateSize: 3072,
      maxPositions: 128,
      hiddenDropout: 0,
      attentionDropout: 0,
    },
    text: { normalize: { lowercase: true, stripAccents: true, ascii: true } },
    tokenizer: { train: { vocabSize: 32_768, lowercase: true } },
    heads: { mlm: { kind: 'masked-lm', layer: 'top', weight: 1, transform: false } },
    masking: { maskTokenShare: 0.8, randomTokenShare: 0.1, exact: true, exactSplit: true, includeSpecial: true },
    inputs: { kind: 'packed' },
    batch: { tokens: 128 * 128, sequenceTokens: 128 },
    optimizer: { kind: 'adamw', learningRate: 1e-3, beta1: 0.9, beta2: 0.98, epsilon: 1e-12, weightDecay: 0.01 },
    schedule: { warmup: 0, finalFactor: 0 },
    clip: { maxGradNorm: 0.5 },
    budget: { hours: 24 },
    evaluation: { everySteps: 500, documents: 'auto' },
    checkpoint: { everySteps: 500, keep: 2 },
    log: { everySteps: 10 },
  }),
  presets: {
    'bert-o4': {
      description: 'the final setting of the published code',
      values: {
        masking: { maskShare: 0.25 },
        schedule: { kind: 'triangle2' },
        batch: { accumulation: 64, accumulationRamp: 0.6 },
        text: { maxTokensPerCharacter: 0.25, dropDuplicates: true },
        inputs: { order: 'sentence-length' },
      },
    },
    paper: {
      description: 'as the paper describes it',
      values: {
        masking: { maskShare: 0.15 },
        schedule: { kind: 'one-cycle' },
        batch: { accumulation: 32, accumulationRamp: 300_000 },
        text: { maxTokensPerCharacter: 0.3 },
        inputs: { order: 'unigram' },
      },
    },
    'bert-o3': {
      description: 'the legacy setting of the published code',
      values: {
        masking: { maskShare: 0.15625 },
        schedule: { kind: 'triangle2' },
        batch: { accumulation: 32, accumulationRamp: 300_000 },
        text: { maxTokensPerCharacter: 0.3 },
        inputs: { order: 'unigram' },
      },
    },
    cpu: {
      description: '4 layers × 256, 4,096 word pieces and many small steps: half an hour on a processor (ours)',
      values: {
        masking: { maskShare: 0.25 },
        schedule: { kind: 'triangle2' },
        encoder: { layers: 4, hiddenSize: 256, heads: 4, intermediateSize: 1024 },
        tokenizer: { train: { vocabSize: 4096 } },
        // A small vocabulary cuts prose into more tokens.
        text: { maxTokensPerCharacter: 0.4, dropDuplicates: true },
        inputs: { order: 'shuffle' },
        // Many small steps leave the plateau of masked LM with fewer tokens (docs/cramming.md).
        batch: { tokens: 2048, accumulation: 1 },
        optimizer: { learningRate: 2e-3 },
        budget: { hours: 0.5 },
        evaluation: { everySteps: 2000 },
        checkpoint: { everySteps: 1000 },
      },
    },
  },
  defaultPreset: 'bert-o4',
}
