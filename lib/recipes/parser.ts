import type { NamedRecipe } from './named-recipes.js'
import { defineRecipe } from './schema.js'

/**
 * A dependency parser and tagger on a trained encoder: deep biaffine attention (Dozat & Manning 2017, arXiv 1611.01734) on a learned mix
 * of all layers, the embedding output included, as Kondratyuk & Straka 2019 (arXiv 1904.02099) read a BERT for all of UD.
 * `--data parsing=FOLDER` names a treebank in CoNLL-U; `init` the encoder.
 *
 * As published: one tree a sentence by maximum spanning tree, arcs and relations learned together, the sizes of the scorers' vectors
 * within those of the paper (arcs 500, labels 100).
 *
 * Our choices, all of them keys: arcs of size 256, dropout 0.2, AdamW with 1e-4 for the encoder and 1e-3 for mix and head, linear decay
 * after a short warm-up, 12 epochs of about 1,000 words a batch, parts of speech learned on the same pass.
 */
export const parser: NamedRecipe = {
  name: 'parser',
  description: 'dependency parser and tagger from a treebank, on a learned mix of all layers',
  source: 'Dozat, Manning 2017, arXiv 1611.01734',
  base: defineRecipe({
    encoder: { hiddenDropout: 0.1, attentionDropout: 0.1 },
    mixes: { layers: { includeEmbeddings: true, init: 'uniform' } },
    taskDefaults: { head: { mix: 'layers', dropout: 0.2, arcSize: 256, labelSize: 100 } },
    batch: { sequenceTokens: 512 },
    optimizer: {
      kind: 'adamw',
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      rateFactors: { 'bert.': 0.1 },
    },
    schedule: { kind: 'linear', warmup: 0.05, finalFactor: 0 },
    clip: { maxGradNorm: 1 },
    budget: { epochs: 12 },
    evaluation: { everyEpochs: 1 },
    checkpoint: { everySteps: 500, keep: 1 },
    log: { everySteps: 10 },
  }),
  presets: {
    default: { description: 'arcs, relations and parts of speech on one pass', values: {} },
  },
  defaultPreset: 'default',
  exampleData: { parsing: 'TREEBANK' },
}
