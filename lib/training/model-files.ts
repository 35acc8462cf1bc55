/** How the model's part of a checkpoint is written and read. */
import { join } from 'node:path'
import { exportMapping, type Model, type SaveModelOptions, saveModelFolder } from '../model/index.js'

export const WEIGHTS_FILE = 'model.safetensors'

export interface ModelFiles {
  /** Writes the model's files, `model.safetensors` among them, into an existing folder. */
  write(folder: string): Promise<unknown>
  /** Loads the weights of such a folder into the same model. */
  read(folder: string): Promise<unknown>
}

/** A Hugging Face folder: config.json, model.safetensors, stratabert.json and, with `tokenizer`, its files. */
export function huggingFaceModelFiles(model: Model, options: SaveModelOptions = {}): ModelFiles {
  return {
    write: (folder) => saveModelFolder(model, folder, options),
    read: (folder) => model.load(join(folder, WEIGHTS_FILE), exportMapping(model.config).mapping),
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
