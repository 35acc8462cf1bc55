import { StrataError } from '../errors.js'
import { type Device, type LoadModelOptions, loadModel } from '../model/index.js'
import { resolveDevice } from '../runtime/index.js'
import { Tokenizer } from '../text/index.js'
import { resolveCheckpoint } from '../training/index.js'
import { warn } from '../warn.js'
import type { LoadedParts } from './loaded-parts.js'

export interface LoadPartsOptions {
  /** Default `auto`: CUDA where it can be had, else the CPU. */
  device?: Device
  /** Default `fp32`. `bf16` is faster on hardware that has it; cosine to fp32 vectors stays above 0.999. `int8`: docs/precisions.md. */
  precision?: LoadModelOptions['precision']
  /** Folders of adapters (see saveAdapter) that are added with their heads and tasks. */
  adapterFolders?: readonly string[]
}

/** Model and tokenizer of a checkpoint, a run folder's newest whole checkpoint, or a Hugging Face folder. */
export async function loadParts(path: string, options: LoadPartsOptions): Promise<LoadedParts> {
  const { folder, warnings } = await resolveCheckpoint(path)
  warn(warnings)
  const tokenizer = await Tokenizer.load(folder)
  const device = resolveDevice(options.device) as Device
  const { precision = 'fp32', adapterFolders } = options
  const { model, config, tasks } = await loadModel(folder, { device, precision, adapterFolders, inference: true })
  if (tokenizer.vocabSize > config.encoder.vocabSize) {
    await model.dispose()
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${folder}: the tokenizer has ${tokenizer.vocabSize} tokens, the encoder ${config.encoder.vocabSize}; they do not belong together`,
    )
  }
  return { model, tokenizer, tasks }
}
