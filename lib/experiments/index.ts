/** Experiments: recipes × seeds → a table with intervals. The only door of this room. */

export type { ComparedRun, Comparison } from './comparison.js'
export { comparisonLines } from './comparison-cells.js'
export type { Estimate, StepEstimate } from './estimate.js'
export type { EvaluatedScore } from './evaluated-scores.js'
export { type LoadedExperiment, loadExperiment } from './load-experiment.js'
export type { Job } from './plan.js'
export { type CompareOptions, type CompareResult, compareExperiment, estimateExperiment } from './run-experiment.js'
export type { JobEvent } from './run-jobs.js'
export { defineExperiment, type Experiment, type ExperimentInput, experimentSchema } from './schema.js'
export type { ComparisonTableRow } from './table-rows.js'
export type { TaskParameters } from './task-parameters.js'
export type { ArmCosts } from './training-costs.js'
