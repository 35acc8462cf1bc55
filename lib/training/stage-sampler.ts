/** The sampler of a stage's tasks. */
import { createTaskSampler, type TaskSampler } from '../data/task-sampler.js'
import type { Stage } from './types.js'

/** Throws BAD_RECIPE on settings that do not fit the stage's tasks. */
export function stageSampler({ tasks, sampler, accumulation }: Stage, seed: number): TaskSampler {
  const sampled = tasks.map(({ name, source, examples }) => ({
    name,
    size: examples ?? source.batchCount(0),
    drawsPerPass: (pass: number) => Math.ceil(source.batchCount(pass) / accumulation),
  }))
  return createTaskSampler(sampler, sampled, seed)
}
