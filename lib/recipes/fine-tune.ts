import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * The one setting that Crammed BERT is fine-tuned with on every GLUE task (Geiping & Goldstein 2022, arXiv 2212.14034, section 5; the
 * code's GLUE_sane.yaml and eval/optim/adam.yaml): batch 16, learning rate 4e-5, half a cosine after 10 % warm-up, 5 epochs, inputs of
 * 128 tokens, dropout 0.1, no weight decay, no clipping; a pooler of 1,024 values of each task's own. The published figures are the median of
 * 5 seeds, each task from the same start.
 *
 * Deliberate difference: the pooler reads a [CLS] that packed pre-training has never seen; the code reads the first word piece there.
 */
const CRAMMED_SETTING = {
  taskDefaults: { head: { pooler: 'own', poolerSize: 1024 } },
  optimizer: { kind: 'adamw', learningRate: 4e-5, beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0 },
  schedule: { kind: 'cosine', warmup: 0.1, finalFactor: 0 },
  clip: { maxGradNorm: 0 },
  batch: { sequences: 16, sequenceTokens: 128 },
  stages: [{ name: 'finetune', eachTask: true, startFrom: 'initial', budget: { epochs: 5 } }],
  checkpoint: { keepStages: true },
} as const

/**
 * Fine-tuning on labelled data as BERT does it (Devlin et al. 2019, arXiv 1810.04805, section 4.1 and appendix A.3): one linear
 * layer on the pooled [CLS] state, every weight trained. `--data rte=FOLDER` names a known task, `tasks.<name>.definition` one's own.
 *
 * As published: batch 32, learning rate 5e-5 (of 5e-5, 3e-5, 2e-5), 3 epochs (of 2 to 4), dropout 0.1, linear decay after 10 %
 * warm-up, weight decay 0.01 (not on biases and LayerNorm), gradients clipped at norm 1.
 *
 * Deliberate differences, all of them keys of the recipe:
 * - bias correction is on (`optimizer.kind: bert-adam` leaves it out as the published code did, which makes small sets unstable);
 * - several tasks at once share the encoder and are drawn in proportion to their sizes.
 */
export const fineTune: NamedRecipe = {
  name: 'fine-tune',
  description: 'fine-tuning on labelled tasks: one head a task on a trained encoder',
  source: 'Devlin, Chang, Lee, Toutanova 2019, arXiv 1810.04805',
  base: defineRecipe({
    encoder: { hiddenDropout: 0.1, attentionDropout: 0.1 },
    taskDefaults: { head: { layer: 'top', pooler: 'shared', dropout: 0.1 } },
    sampler: { kind: 'proportional' },
    batch: { sequences: 32, sequenceTokens: 128 },
    optimizer: { kind: 'adamw', learningRate: 5e-5, beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01 },
    schedule: { kind: 'linear', warmup: 0.1, finalFactor: 0 },
    clip: { maxGradNorm: 1 },
    budget: { epochs: 3 },
    evaluation: { everyEpochs: 1 },
    checkpoint: { everySteps: 0, keep: 1 },
    log: { everySteps: 10 },
  }),
  presets: {
    default: { description: 'the last layer, all tasks together', values: {} },
    alone: {
      description: 'each task by itself from the same start, one after the other in one run',
      values: {
        stages: [{ name: 'finetune', eachTask: true, startFrom: 'initial', budget: { epochs: 3 } }],
        checkpoint: { keepStages: true },
      },
    },
    crammed: {
      description: 'one setting for all tasks, each by itself from the same start, as Crammed BERT is fine-tuned',
      values: CRAMMED_SETTING,
    },
  },
  defaultPreset: 'default',
  exampleData: { rte: 'GLUE/RTE' },
}
