/** How the model's part of a checkpoint is written and read. */
import { join } from 'node:path'
import {
  exportMapping,
  type Model,
  prunedWeights,
  pruningScores,
  type SaveModelOptions,
  saveModelFolder,
} from '../model/index.js'

export const WEIGHTS_FILE = 'model.safetensors'

/** Of a model that is being pruned: its weights without their masks, and the scores. */
const PRUNING_FILE = 'pruning.safetensors'

export interface ModelFiles {
  /** Writes the model's files, `model.safetensors` among them, into an existing folder. */
  write(folder: string): Promise<unknown>
  /** Loads the weights of such a folder into the same model. */
  read(folder: string): Promise<unknown>
}

/**
 * A Hugging Face folder: config.json, model.safetensors, stratabert.json and, with `tokenizer`, its files. Of a model that is being
 * pruned model.safetensors holds the zeros, and {@link PRUNING_FILE} beside it what a resumed run goes on with.
 */
export function huggingFaceModelFiles(model: Model, options: SaveModelOptions = {}): ModelFiles {
  const { config } = model
  const names = config.pruning ? [...prunedWeights(config.encoder), ...pruningScores(config)] : []
  const unmasked = Object.fromEntries(names.map((name) => [name, name]))
  return {
    async write(folder) {
      await saveModelFolder(model, folder, options)
      if (config.pruning) await model.save(join(folder, PRUNING_FILE), unmasked)
    },
    async read(folder) {
      await model.load(join(folder, WEIGHTS_FILE), exportMapping(config).mapping)
      if (config.pruning) await model.load(join(folder, PRUNING_FILE), unmasked)
    },
  }
}

/** The weights alone, under our own names. */
export function plainModelFiles(model: Model): ModelFiles {
  const names = model.parameters().map(({ name }) => name)
  const mapping = Object.fromEntries(names.map((name) => [name, name]))
  return {
    write: (folder) => model.save(join(folder, WEIGHTS_FILE), mapping),
    read: (folder) => model.load(join(folder, WEIGHTS_FILE), mapping),
  }
}
