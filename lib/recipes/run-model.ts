import { StrataError } from '../errors.js'
import {
  chunkPlainBatches,
  computeThreads,
  type Device,
  loadModel,
  Model,
  type Precision,
  readModelFolder,
} from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import { newestCheckpoint } from '../training/index.js'
import { modelConfigOf } from './model-of-recipe.js'
import { savedTask, shapeOf } from './recipe-tasks.js'
import type { ResolvedRecipe } from './resolve-recipe.js'
import type { RunData } from './run-data.js'
import { startNotes } from './start-notes.js'

/** `auto` precision: bf16 on CUDA, fp32 on the CPU. Loads libtorch. */
export function runtimeChoice(recipe: Pick<ResolvedRecipe, 'device' | 'precision'>): {
  device: Device
  precision: Precision
} {
  const device = resolveDevice(recipe.device) as Device
  if (recipe.precision !== 'auto') return { device, precision: recipe.precision }
  return { device, precision: device.startsWith('cuda') ? 'bf16' : 'fp32' }
}

/** A new model, that of the checkpoint to start from, or with `resume` that of the run folder's newest one; with what was found out of place. */
export async function openRunModel(recipe: ResolvedRecipe, data: RunData, output: string, resume: boolean) {
  const { tokenizer } = data
  const options = { ...runtimeChoice(recipe), seed: recipe.seed }
  if (recipe.threads > 0) computeThreads(recipe.threads)
  const saved = resume ? (await newestCheckpoint(output)).found : undefined
  // A checkpoint's vocabulary may be larger than its tokenizer's (padded to a round number).
  const past = saved && (await readModelFolder(saved.path)).config
  const config = modelConfigOf(recipe, past?.encoder.vocabSize ?? tokenizer.vocabSize, data.tasks.map(shapeOf))
  // A checkpoint keeps its agreements, whatever it is trained for.
  const agreements = config.agreements ?? past?.agreements ?? data.agreements
  if (!recipe.init || saved) {
    const model = await Model.create({ ...config, ...(agreements && { agreements }) }, options)
    chunkPlainBatches(model, tokenizer)
    return { model, notes: [] }
  }

  const { hiddenDropout, attentionDropout } = recipe.encoder
  const { heads, mixes, adapters, pruning } = config
  const parts = { heads, mixes, adapters, pruning, ...(agreements && { agreements }) }
  const { tasks: before } = await readModelFolder(recipe.init)
  const loaded = await loadModel(recipe.init, { ...options, ...parts, hiddenDropout, attentionDropout })
  const rows = loaded.config.encoder.vocabSize
  if (tokenizer.vocabSize > rows) {
    await loaded.model.dispose()
    throw new StrataError(
      'BAD_RECIPE',
      `tokenizer: has ${tokenizer.vocabSize} tokens, but the checkpoint to start from has ${rows}, expected its own tokenizer; remove the key`,
    )
  }
  const tasks = data.tasks.map((task) => savedTask(recipe, task))
  return { model: loaded.model, notes: startNotes(recipe.init, loaded, before, tasks) }
}
