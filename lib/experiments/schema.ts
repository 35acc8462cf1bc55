import { z } from 'zod'
import { FLOORED_METRICS } from './guesses.js'

/**
 * The schema of experiments: what a TypeScript value, a YAML or JSON file may say. Variants of one recipe, or of a chain of
 * steps (train, then train on, evaluate or probe what came out), each run with every seed and compared by its measures.
 */

const count = z.int().min(1)

/** Names stand in folder names. */
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_+-]*$/, 'a name of letters, digits, "_", "+" and "-"')
  .max(60)

const budget = z.strictObject({
  /** Optimiser steps. */
  steps: count.optional(),
  /** Real tokens seen. */
  tokens: count.optional(),
  /** Passes over the data. */
  epochs: z.number().positive().optional(),
  /** Wall-clock hours. */
  hours: z.number().positive().optional(),
})

const files = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])
/** Data slots as in a recipe, or as the command of the step takes them. */
const slots = z.record(z.string().min(1), z.union([files, z.record(z.string(), files)]))

/** What may be said for all runs, for a step, for a variant and for a step of a variant, the later having the last word. */
const settings = {
  /** A named recipe or a recipe file. */
  recipe: z.string().min(1).optional(),
  /** Values laid over the recipe, as `--set` does; a key may be dotted (`encoder.layers: 4`), null removes it. */
  set: z.record(z.string().min(1), z.unknown()).optional(),
  data: slots.optional(),
  /** Checkpoint, run or Hugging Face folder that a step without `from` starts from. */
  init: z.string().min(1).optional(),
  /** The same for every variant, unless a variant says otherwise (then a note tells). */
  budget: budget.optional(),
}

const stepOwn = {
  /** Earlier step whose checkpoint this one takes. */
  from: name.optional(),
  /** Its best checkpoint instead of its last (needs `checkpoint.best` in the recipe). */
  fromBest: z.boolean().optional(),
  /** One seed for this step whatever the run's seed is: then all seeds share one run of it. */
  seed: z.int().min(0).optional(),
  /** `evaluate`, `probe`: names of tasks; default all there are. */
  tasks: z.array(z.string().min(1)).min(1).optional(),
  /** Further options of the step's command by name, like `{ layers: all }` for `--layers all`. */
  options: z.record(z.string().regex(/^[a-z][a-zA-Z-]*$/), z.union([z.string(), z.number(), z.boolean()])).optional(),
}

const step = z.strictObject({
  /** `train` a recipe; `evaluate` or `probe` a checkpoint. */
  kind: z.enum(['train', 'evaluate', 'probe']).default('train'),
  ...settings,
  ...stepOwn,
  /** `evaluate`: what the model said of each example is kept, and differences are bootstrapped over examples as well. */
  predictions: z.boolean().optional(),
})

const variant = z.strictObject({
  description: z.string().optional(),
  /** Variant that this one is compared with; default the experiment's baseline. */
  against: z.string().min(1).optional(),
  /** For `${name}` in settings and measures. */
  variables: z.record(name, z.union([z.string(), z.number()])).default({}),
  /** These hold for every training step of the variant. */
  ...settings,
  /** What single steps do otherwise. */
  steps: z.record(name, z.strictObject({ ...settings, ...stepOwn })).default({}),
})

const measure = z.strictObject({
  /** In tables; default the value's name. */
  name: z.string().min(1).optional(),
  /** Step that gives it; may be left out where there is one step. */
  step: name.optional(),
  /** Name of a number that the step gives, like `rte.accuracy`, `mlm.loss`, `secondsPerStep` or `SentLen.best.accuracy`. */
  value: z.string().min(1),
  /** Of this stage of the recipe; default the last stage that has the number. */
  stage: z.string().min(1).optional(),
  /** Default: lower for losses, perplexity and what a run costs (times, steps, tokens, parameters, memory), else higher. */
  better: z.enum(['higher', 'lower']).optional(),
  /** A published or otherwise known figure (or several, whose mean counts) that is printed beside the mean. */
  reference: z.union([z.number(), z.array(z.number()).min(1)]).optional(),
  /** Whether differences get a p-value, which counts in Holm's correction; default: all but what a run costs. */
  tested: z.boolean().optional(),
  /** Also how many times fewer steps than the baseline a variant needs to the same score. */
  convergence: z.boolean().default(false),
})

const overview = z.strictObject({
  name: z.string().min(1),
  /** Names of measures, a column each; the last column is their mean. */
  measures: z.array(z.string().min(1)).min(2),
  /** What stands for the seeds. Default median, as tables of fine-tuning have it. */
  statistic: z.enum(['median', 'mean']).default('median'),
})

const criterion = z.strictObject({
  step: name.optional(),
  /** Masked LM: the held-out loss must lie `nats` below the entropy of the tokens' frequencies. */
  head: z.string().min(1).optional(),
  nats: z.number().min(0).default(0.5),
  /** Labelled task or probe: the score must lie above the 95 % interval of the best guess without the text. */
  task: z.string().min(1).optional(),
  /** Which of the task's scores; default its main metric. */
  metric: z.enum(FLOORED_METRICS).optional(),
})

export const experimentSchema = z.strictObject({
  name: name.default('experiment'),
  description: z.string().optional(),
  /** Folders and files by name, for `${name}` in settings; `--data name=PATH` has the last word. */
  paths: z.record(name, z.string().min(1)).default({}),
  /** Seeds, or how many (1, 2, …). */
  seeds: z.union([z.int().min(1).max(1000), z.array(z.int().min(0)).min(1)]),
  /** Variant that the others are compared with; default the first. */
  baseline: z.string().min(1).optional(),
  budget: budget.optional(),
  /** What all training steps have in common. */
  common: z.strictObject(settings).prefault({}),
  /** In their order; default one training step `train`. */
  steps: z.record(name, step).prefault({ train: {} }),
  variants: z.record(name, variant),
  measures: z.array(z.union([z.string().min(1), measure])).min(1),
  /** Tables beside the long one: a row a variant, a column a measure. */
  overviews: z.array(overview).default([]),
  /** Runs that miss one of these count as "not learned" and support no comparison. */
  learned: z.array(criterion).default([]),
  /** Which test the table's p-values are of: sign flips over seeds, or Student's paired t. */
  test: z.enum(['sign-flip', 't']).default('sign-flip'),
  /** Checkpoints of finished runs that stay: the newest (and best), all, or none that no later step needs. */
  keep: z.enum(['newest', 'all', 'none']).default('newest'),
})

/** What a user writes. */
export type ExperimentInput = z.input<typeof experimentSchema>
export type Experiment = z.output<typeof experimentSchema>
export type ExperimentStep = z.output<typeof step>
export type LearnedCriterion = z.output<typeof criterion>
export type Keep = Experiment['keep']

/** Types an experiment that is written in TypeScript; it is checked when it is run. */
export function defineExperiment(experiment: ExperimentInput): ExperimentInput {
  return experiment
}
