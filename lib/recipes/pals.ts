import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * BERT and PALs (Stickland & Murray 2019, arXiv 1902.02671): one encoder for all tasks, and in every block a small projected
 * attention layer of each task's own beside it, e = GELU(V^D MHA(V^E h)), added before the block's last LayerNorm. V^E and V^D are
 * shared by a task's layers.
 *
 * As published (and its code, where the paper is silent): d_s = 204, 6 heads, GELU after the decoder, one pooler for all tasks,
 * batch 32 of at most 128 tokens, 25 epochs of 2,400 steps, annealed sampling from 1 to 0.2, learning rate 2e-5, Adam without bias
 * correction, weight decay 0.01, each tensor's gradient clipped at norm 1, linear decay that jumps from 1 to 0.9 after 10 % warm-up,
 * seed 42, STS-B trained on scores divided by 5.
 *
 * Deliberate differences:
 * - figures are those of whole dev sets; the code averages CoLA and STS-B over batches of 8;
 * - STS-B is scored on the predicted numbers as they are, the code clamps them to the labels' range first; and the sum that names the
 *   best checkpoint takes the F1 of MRPC and QQP, as GLUE does, the code their accuracy;
 * - each pass over a task's examples has an order of its own, the code's is always the same;
 * - round robin (`sampler.kind: roundRobin`) is one; the code's never leaves its first task;
 * - `train: adapters` trains the shared pooler with the heads, which a checkpoint without one could not do without; the code's `--freeze`
 *   leaves it as it is: `freeze: [pooler.]`.
 *
 * `train: adapters` trains PALs, heads, pooler and LayerNorms alone; `optimizer.rateFactors` gives parts rates of their own. The preset
 * `tasks` names the eight tasks of the paper, so that `--dry-run` counts their parameters without data.
 */
export const pals: NamedRecipe = {
  name: 'pals',
  description: 'many tasks on one encoder, each with projected attention layers of its own',
  source: 'Stickland, Murray 2019, arXiv 1902.02671',
  base: defineRecipe({
    seed: 42,
    encoder: { hiddenDropout: 0.1, attentionDropout: 0.1 },
    adapter: { kind: 'pal', size: 204, heads: 6, outputGelu: true },
    taskDefaults: { head: { layer: 'top', pooler: 'shared', dropout: 0.1 } },
    taskSettings: { 'sts-b': { definition: { targetDivisor: 5 } } },
    sampler: { kind: 'annealed', epochs: 25 },
    batch: { sequences: 32, sequenceTokens: 128 },
    optimizer: { kind: 'bert-adam', learningRate: 2e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01 },
    schedule: { kind: 'bert', warmup: 0.1, finalFactor: 0 },
    clip: { maxGradNorm: 0, maxTensorGradNorm: 1 },
    budget: { steps: 60_000 },
    evaluation: { everySteps: 2400 },
    checkpoint: { everySteps: 2400, keep: 1, best: { metric: 'sum', mode: 'max' } },
    log: { everySteps: 10 },
  }),
  presets: {
    default: { description: 'the tasks that have data', values: {} },
    tasks: {
      description: "the paper's eight tasks, for counting parameters (--dry-run) or with data for each",
      values: {
        tasks: Object.fromEntries(
          ['cola', 'mrpc', 'mnli', 'rte', 'sts-b', 'sst-2', 'qqp', 'qnli'].map((name) => [name, {}]),
        ),
      },
    },
    'low-rank': {
      description: 'V^D GELU(V^E h) with matrices of each layer',
      values: { adapter: { kind: 'low-rank', size: 100, heads: null, outputGelu: null } },
    },
    houlsby: {
      description: 'two low-rank modules a layer',
      values: { adapter: { kind: 'houlsby', size: 50, heads: null, outputGelu: null } },
    },
    'top-attention': {
      description: 'six projected attention blocks on top of the encoder',
      values: { adapter: { kind: 'top-attention', size: 204, heads: 12, blocks: 6, outputGelu: null } },
    },
    'top-layer': {
      description: 'one more block on top of the encoder',
      values: { adapter: { kind: 'top-layer', size: null, heads: null, outputGelu: null } },
    },
    shared: { description: 'no adapter: all but the heads is shared', values: { adapter: null } },
  },
  defaultPreset: 'default',
  exampleData: { rte: 'GLUE/RTE' },
}
