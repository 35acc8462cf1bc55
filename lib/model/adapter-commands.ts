/** Adapters of model folders: listed, taken out, added to a base, merged into it. Works on files alone; no model is computed. */
import { copyFile, mkdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import {
  adapterParts,
  fittedAdapter,
  readAdapterFolder,
  type ValueReader,
  withAdapter,
  writeAdapterFolder,
} from './adapter-folder.js'
import { mergedWeights } from './adapter-merge.js'
import {
  describeModel,
  type ModelFolder,
  readModelFolder,
  WEIGHTS_FILE,
  writeDescription,
} from './checkpoint-folder.js'
import type { AdapterConfig, ModelConfig } from './config.js'
import { syncPath } from './folder-files.js'
import { exportMapping } from './huggingface.js'
import { modelParameterShapes } from './parameter-shapes.js'
import { readFloatTensor } from './read-tensor.js'
import type { SavedTask } from './saved-task.js'
import { copiedTensors, floatTensor, type TensorSource, writeTensorFile } from './write-tensors.js'

/** An adapter of a model folder, and who uses it. */
export interface ListedAdapter {
  adapter: AdapterConfig
  /** Numbers that the adapter alone has, without its heads. */
  parameters: number
  tasks: string[]
  heads: string[]
}

/** The adapters of a model folder. */
export async function listAdapters(folder: string): Promise<ListedAdapter[]> {
  const { config, tasks } = await readModelFolder(folder)
  const shapes = Object.entries(modelParameterShapes(config))
  return (config.adapters ?? []).map((adapter) => {
    const parts = adapterParts(config, tasks, adapter.name)
    const own = shapes.filter(([name]) => name.startsWith(`adapters.${adapter.name}.`))
    return {
      adapter,
      parameters: own.reduce((sum, [, shape]) => sum + shape.reduce((product, size) => product * size, 1), 0),
      tasks: parts.tasks.map(({ name }) => name),
      heads: parts.heads.map(({ name }) => name),
    }
  })
}

/** Writes an adapter of a model folder and the heads that use it into a folder of its own. */
export async function extractAdapter(folder: string, name: string, output: string): Promise<void> {
  differ(folder, output)
  const found = await readModelFolder(folder)
  await writeAdapterFolder(output, found.config, adapterParts(found.config, found.tasks, name), readerOf(found))
}

/** Writes a model folder that is `folder` with an adapter of its own folder added. Throws as `withAdapter`. */
export async function addAdapter(folder: string, adapterFolder: string, output: string): Promise<void> {
  differ(folder, output)
  const found = await readModelFolder(folder)
  const added = await fittedAdapter(found, await readAdapterFolder(adapterFolder), readerOf(found))
  const { config, tasks } = withAdapter(found, added)
  const { mapping } = exportMapping(config)
  const copies = Object.entries(found.mapping).map(([ours, theirs]) => [theirs, mapping[ours]])
  await writeFolder(output, found, config, tasks, [
    ...copiedTensors(found.weightsFile, Object.fromEntries(copies)),
    ...copiedTensors(
      added.weightsFile,
      Object.fromEntries(Object.entries(added.tensors).map(([name, stored]) => [stored, mapping[name]])),
    ),
  ])
}

/**
 * Writes a model folder whose encoder has the adapter in its own weights. It keeps the heads that used the adapter; the names of
 * those left out, which read another encoder, come back. Throws UNSUPPORTED where merging is not exact.
 */
export async function mergeAdapter(folder: string, name: string, output: string): Promise<{ leftOut: string[] }> {
  differ(folder, output)
  const found = await readModelFolder(folder)
  const read = readerOf(found)
  const { adapter, heads, mixes, tasks } = adapterParts(found.config, found.tasks, name)
  const merged = await mergedWeights(adapter, found.config.encoder, read)
  const { encoder, agreements } = found.config
  const config: ModelConfig = { encoder, ...(agreements && { agreements }), heads, ...(mixes.length > 0 && { mixes }) }
  const shapes = modelParameterShapes(config)
  const { mapping } = exportMapping(config)
  const kept = Object.keys(shapes).filter((parameter) => !merged[parameter])
  await writeFolder(
    output,
    found,
    config,
    tasks.map(({ adapter: _, ...task }) => task),
    [
      ...copiedTensors(found.weightsFile, Object.fromEntries(kept.map((one) => [found.mapping[one], mapping[one]]))),
      ...Object.entries(merged).map(([one, values]) => floatTensor(mapping[one], shapes[one], values)),
    ],
  )
  return { leftOut: found.config.heads.filter((head) => !heads.includes(head)).map((head) => head.name) }
}

function readerOf({ weightsFile, mapping }: ModelFolder): ValueReader {
  return (name) => readFloatTensor(weightsFile, mapping[name])
}

function differ(folder: string, output: string): void {
  if (resolve(folder) !== resolve(output)) return
  throw new StrataError('BAD_ARGUMENT', `the output is the input folder ${folder}; another folder was expected`)
}

async function writeFolder(
  output: string,
  source: ModelFolder,
  config: ModelConfig,
  tasks: readonly SavedTask[],
  tensors: readonly TensorSource[],
): Promise<void> {
  const description = describeModel(config, tasks, source.strata?.extra)
  await mkdir(output, { recursive: true }).catch((error) => {
    throw fileError(error, output, 'write the model folder')
  })
  await writeTensorFile(join(output, WEIGHTS_FILE), tensors, { format: 'pt' })
  for (const file of source.tokenizerFiles) {
    const copy = join(output, basename(file))
    await copyFile(file, copy).catch((error) => {
      throw fileError(error, copy, 'write the model folder')
    })
    await syncPath(copy)
  }
  await writeDescription(output, description)
  await syncPath(output)
}
