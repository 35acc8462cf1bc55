/** Experiments: recipes × seeds → a table with intervals. The only door of this room. */

export type { ComparedRun, Comparison } from './comparison.js'
export type { Estimate, StepEstimate } from './estimate.js'
export { type LoadedExperiment, loadExperiment } from './load-experiment.js'
export type { Job } from './plan.js'
export { type CompareOptions, type CompareResult, compareExperiment, estimateExperiment } from './run-experiment.js'
export type { JobEvent } from './run-jobs.js'
export { defineExperiment, type Experiment, type ExperimentInput, experimentSchema } from './schema.js'
export type { ComparisonTableRow } from './table-rows.js'
export { comparisonLines } from './write-comparison.js'
