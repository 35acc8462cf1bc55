/**
 * A model on disk: a Hugging Face folder (`config.json`, `model.safetensors`, tokenizer files) plus `stratabert.json`,
 * which holds the heads and their taps. Folders written by transformers load without a conversion step.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { Tokenizer } from '../text/index.js'
import { type FittedAdapter, fittedAdapter, readAdapterFolder, withAdapter } from './adapter-folder.js'
import type { AdapterConfig, AgreementConfig, HeadConfig, MixConfig, ModelConfig, PruningConfig } from './config.js'
import { checkFolderLink, exists, packageVersion, readJson, syncPath, writeFileSynced } from './folder-files.js'
import { exportMapping, type FileParts, importMapping } from './huggingface.js'
import { huggingFaceConfig, parseHuggingFaceConfig, tasksOfConfig } from './huggingface-config.js'
import { headsOfTensors } from './huggingface-heads.js'
import { Model } from './model.js'
import type { ModelOptions } from './model-types.js'
import { modelParameterShapes } from './parameter-shapes.js'
import { chunkPlainBatches } from './plain-chunks.js'
import { checkComplete, checkCounts, checkFloats, checkHeads, checkMemory } from './plausible-folder.js'
import { readFloatTensor } from './read-tensor.js'
import { inspectSafetensors, type StoredTensorInfo } from './safetensors.js'
import { type SavedTask, savedTaskProblem } from './saved-task.js'
import { type PrunedWeights, readStrataFile, STRATA_FORMAT, type StrataFile } from './strata-file.js'

const CONFIG_FILE = 'config.json'
export const WEIGHTS_FILE = 'model.safetensors'
const STRATA_FILE = 'stratabert.json'
const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json', 'special_tokens_map.json']

/** A model folder, looked at but not loaded. */
export interface ModelFolder {
  folder: string
  weightsFile: string
  /** Encoder of config.json and the heads found: those of stratabert.json, else by tensor names. */
  config: ModelConfig
  /** Parameter name → tensor name in the weights file. */
  mapping: Record<string, string>
  /** What the heads were trained for, where the folder says it. */
  tasks: SavedTask[]
  /** Paths of the tokenizer files that the folder has. */
  tokenizerFiles: string[]
  /** Missing in a folder from elsewhere. */
  strata?: StrataFile
}

/**
 * Reads and checks everything of a model folder but its weights. Throws NOT_FOUND, BAD_CHECKPOINT or UNSUPPORTED with
 * the file and the field or tensor at fault.
 */
export async function readModelFolder(folder: string): Promise<ModelFolder> {
  const { weightsFile, encoder, strata, tensors, parts, tasks } = await inspectFolder(folder)
  const { fromElsewhere: _, ...rest } = parts
  const config: ModelConfig = { encoder, ...rest }
  const { mapping, fresh } = importMapping(config, tensors, weightsFile, parts)
  checkComplete(fresh, parts, weightsFile)
  const tokenizerFiles: string[] = []
  for (const name of TOKENIZER_FILES) {
    const file = join(folder, name)
    if (!(await exists(file))) continue
    await checkFolderLink(file)
    tokenizerFiles.push(file)
  }
  return { folder, weightsFile, config, mapping, tasks, tokenizerFiles, strata }
}

/** What of a folder is loaded, and what is put in its place. */
export interface LoadModelOptions extends ModelOptions {
  /** Heads of the loaded model; default: those that the folder has. Heads that it lacks are freshly drawn. */
  heads?: HeadConfig[]
  /** Agreements of the loaded model; default: those that the folder has; null: none. Relations that it lacks are freshly drawn. */
  agreements?: AgreementConfig | null
  /** Layer mixes of the loaded model; default: those that the folder has. */
  mixes?: MixConfig[]
  /** Adapters of the loaded model; default: those that the folder has. */
  adapters?: AdapterConfig[]
  /** Prunes the loaded model while it is trained further. */
  pruning?: PruningConfig
  /** Folders of adapters that are added with their heads and tasks; each must have been made for these encoder weights. */
  adapterFolders?: readonly string[]
  /** Default 0, whatever the file says. */
  hiddenDropout?: number
  /** Default 0, whatever the file says. */
  attentionDropout?: number
}

/** A model out of a folder, and what did not come out of it. */
export interface LoadedModel {
  model: Model
  config: ModelConfig
  /** Parameters that the folder did not hold: freshly drawn from the seed. */
  fresh: string[]
  /** Poolers that the folder did not hold → the tensor of the published encoder's pooler that they start from. */
  borrowed: Record<string, string>
  /** Heads, relations, mixes and adapters of the model (`heads.rte`) → those of the folder that they go on from. */
  continued: Record<string, string>
  /** Those of the model → the folder's of the same name and kind that have other sizes: they start fresh. */
  resized: Record<string, string>
  /** Tensors of the folder that the model has no use for. */
  unused: string[]
  /** What the folder says of the heads that the model has. */
  tasks: SavedTask[]
}

/**
 * Loads a model from a folder of this package or of transformers (BertModel, BertForMaskedLM,
 * BertForNextSentencePrediction, BertForPreTraining, BertForSequenceClassification, BertForTokenClassification,
 * BertForQuestionAnswering, BertForMultipleChoice). A requested head, relation, mix or adapter takes the weights of the folder's of the
 * same name and kind, where they have the same sizes; in a folder from elsewhere, a head at the top layer takes those of the published head of its kind.
 */
export async function loadModel(folder: string, options: LoadModelOptions = {}): Promise<LoadedModel> {
  const {
    heads,
    agreements,
    mixes,
    adapters,
    pruning,
    adapterFolders,
    hiddenDropout,
    attentionDropout,
    ...modelOptions
  } = options
  const inspected = await inspectFolder(folder)
  const { weightsFile, encoder, tensors, parts, tied } = inspected
  const wanted = {
    agreements: agreements === undefined ? parts.agreements : agreements,
    mixes: mixes ?? parts.mixes,
    adapters: adapters ?? parts.adapters,
  }
  const base: ModelConfig = {
    encoder: { ...encoder, hiddenDropout: hiddenDropout ?? 0, attentionDropout: attentionDropout ?? 0 },
    heads: heads ?? parts.heads,
    ...(wanted.agreements ? { agreements: wanted.agreements } : {}),
    ...(wanted.mixes?.length ? { mixes: wanted.mixes } : {}),
    ...(wanted.adapters?.length ? { adapters: wanted.adapters } : {}),
    ...(pruning ? { pruning } : {}),
  }
  const imported = importMapping(base, tensors, weightsFile, parts)
  const { mapping, leftBlocks, borrowed, continued, resized, fresh, unused } = imported
  if (!heads && agreements === undefined && !mixes && !adapters) checkComplete(fresh, parts, weightsFile)
  checkFloats(tensors, [...Object.values(mapping), ...Object.values(leftBlocks)], weightsFile)
  const parameterBytes = modelOptions.precision === 'fp64' ? 8 : 4
  checkMemory(base, parameterBytes, weightsFile)
  const added: FittedAdapter[] = []
  let { tasks } = inspected
  let config = base
  for (const adapterFolder of adapterFolders ?? []) {
    const read = (name: string): Float32Array | undefined => {
      const from = added.find(({ tensors }) => tensors[name])
      if (from) return readFloatTensor(from.weightsFile, from.tensors[name])
      return mapping[name] === undefined ? undefined : readFloatTensor(weightsFile, mapping[name])
    }
    const adapter = await fittedAdapter({ config, folder }, await readAdapterFolder(adapterFolder), read)
    ;({ config, tasks } = withAdapter({ config, tasks, folder }, adapter))
    added.push(adapter)
  }
  const decoder = 'cls.predictions.decoder.weight'
  if (
    !tied &&
    Object.values(mapping).includes('cls.predictions.bias') &&
    tensors.some(({ name }) => name === decoder)
  ) {
    throw new StrataError(
      'UNSUPPORTED',
      `${join(folder, CONFIG_FILE)} says tie_word_embeddings false and ${decoder} stands in the weights; the masked LM here shares the word embeddings: load it with heads that have no masked LM at the top layer`,
    )
  }
  checkMemory(config, parameterBytes, weightsFile)
  // What comes from files alone needs no draw, which would take longer than reading it.
  const drawn = !modelOptions.inference || fresh.length > 0 || added.length > 0
  const described = !heads && !mixes && !adapters && !pruning
  const model = await Model.create(config, modelOptions, { drawn }).catch((error) => {
    throw described ? folderError(error, folder) : error
  })
  try {
    await model.load(weightsFile, mapping)
    for (const adapter of added) {
      await model.load(adapter.weightsFile, adapter.tensors)
    }
    for (const [name, tensor] of Object.entries(leftBlocks)) {
      const left = readFloatTensor(weightsFile, tensor)
      const rows = encoder.hiddenSize
      const values =
        modelOptions.precision === 'fp64' ? new Float64Array(2 * rows * rows) : new Float32Array(2 * rows * rows)
      for (let row = 0; row < rows; row++) values.set(left.subarray(row * rows, (row + 1) * rows), 2 * row * rows)
      await model.writeTensors({ [name]: values })
    }
    if (config.agreements) await chunkByTokenizer(model, folder)
  } catch (error) {
    await model.dispose()
    throw error
  }
  const answered = tasks.filter((task) => savedTaskProblem(task, config.heads, config.adapters ?? []) === undefined)
  return { model, config, fresh, borrowed, continued, resized, unused, tasks: answered }
}

/** Without a tokenizer every batch has to bring its chunks. */
async function chunkByTokenizer(model: Model, folder: string): Promise<void> {
  for (const name of TOKENIZER_FILES.slice(0, 2)) {
    if (await exists(join(folder, name))) return chunkPlainBatches(model, await Tokenizer.load(folder))
  }
}

/** What the native core refuses of a configuration that the folder alone describes is the folder's fault. */
function folderError(error: unknown, folder: string): unknown {
  const ofOptions = /^(precision|kernels|seed|device)\b/
  if (!(error instanceof StrataError) || error.code !== 'BAD_ARGUMENT' || ofOptions.test(error.message)) return error
  return new StrataError('BAD_CHECKPOINT', `${folder}: ${error.message}`, { cause: error, details: error.details })
}

/** What {@link saveModelFolder} writes beside weights and configuration. */
export interface SaveModelOptions {
  /** Writes its files into the folder. */
  tokenizer?: { save(folder: string): void | Promise<void> }
  /** What the heads were trained for: with it the folder answers, evaluates and names its classes by itself. */
  tasks?: readonly SavedTask[]
  /** Goes into stratabert.json as `extra`. */
  extra?: Record<string, unknown>
}

/**
 * Writes a model as a folder that transformers opens (see huggingface.ts for the names), pruned weights with their zeros. Every
 * file and the folder are fsynced. Returns the names of the files written, the tokenizer's included. Throws BAD_ARGUMENT for a task that the model's
 * heads cannot answer.
 */
export async function saveModelFolder(model: Model, folder: string, options: SaveModelOptions = {}): Promise<string[]> {
  const { config } = model
  const { tasks = [] } = options
  if (model.precision === 'int8')
    throw new StrataError(
      'UNSUPPORTED',
      'the model holds its weights in 8 bits alone; load it in another precision to save it',
    )
  const pruned = config.pruning && (await prunedWeightsOf(model))
  const description = describeModel(config, tasks, options.extra, pruned)
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw fileError(error, folder, 'write the model folder')
  })
  await writeDescription(folder, description)
  await model.save(join(folder, WEIGHTS_FILE), exportMapping(config).mapping, { format: 'pt' }, { effective: true })
  const written = [CONFIG_FILE, STRATA_FILE, WEIGHTS_FILE]
  if (options.tokenizer) {
    await options.tokenizer.save(folder)
    for (const name of TOKENIZER_FILES)
      if (await exists(join(folder, name))) {
        await syncPath(join(folder, name))
        written.push(name)
      }
  }
  await syncPath(folder)
  return written
}

/** What pruning left, as stratabert.json says it. */
export async function prunedWeightsOf(model: Model): Promise<PrunedWeights> {
  const { method, density, byLayer, weights, nonZero } = await model.readPruning()
  const sizes = Object.values(modelParameterShapes(model.config)).map((shape) => shape.reduce((a, b) => a * b, 1))
  const parameters = sizes.reduce((a, b) => a + b, 0)
  return { method, density, byLayer, parameters, nonZeroParameters: parameters - (weights - nonZero) }
}

interface Description {
  config: string
  strata: string
}

/** @internal Writes config.json and stratabert.json. */
export async function writeDescription(folder: string, { config, strata }: Description): Promise<void> {
  await writeFileSynced(join(folder, CONFIG_FILE), config)
  await writeFileSynced(join(folder, STRATA_FILE), strata)
}

/** @internal The texts of config.json and stratabert.json. */
export function describeModel(
  config: ModelConfig,
  tasks: readonly SavedTask[],
  extra: Record<string, unknown> = {},
  pruned?: PrunedWeights,
): Description {
  for (const task of tasks) {
    const problem = savedTaskProblem(task, config.heads, config.adapters ?? [])
    if (problem) throw new StrataError('BAD_ARGUMENT', `${problem}; a task that the model can answer was expected`)
  }
  const strata: StrataFile = {
    format: STRATA_FORMAT,
    version: packageVersion(),
    heads: config.heads,
    ...(config.agreements ? { agreements: config.agreements } : {}),
    ...(config.mixes?.length ? { mixes: config.mixes } : {}),
    ...(config.adapters?.length ? { adapters: config.adapters } : {}),
    ...(tasks.length ? { tasks: [...tasks] } : {}),
    ...(pruned ? { pruned } : {}),
    extra,
  }
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
  return { config: json(huggingFaceConfig(config, tasks)), strata: json(strata) }
}

interface InspectedFolder {
  weightsFile: string
  encoder: ModelConfig['encoder']
  strata?: StrataFile
  tensors: StoredTensorInfo[]
  /** What the weights were written from. */
  parts: FileParts
  tasks: SavedTask[]
  tied: boolean
}

async function inspectFolder(folder: string): Promise<InspectedFolder> {
  const configFile = join(folder, CONFIG_FILE)
  const weightsFile = join(folder, WEIGHTS_FILE)
  const json = await readJson(configFile)
  const encoder = parseHuggingFaceConfig(json, configFile)
  if (!(await exists(weightsFile))) {
    const others = ['model.safetensors.index.json', 'pytorch_model.bin', 'tf_model.h5']
    for (const other of others)
      if (await exists(join(folder, other))) {
        throw new StrataError(
          'UNSUPPORTED',
          `${folder} holds ${other}, expected one ${WEIGHTS_FILE}; open it with transformers and save_pretrained(folder, max_shard_size="100GB")`,
        )
      }
    throw new StrataError('NOT_FOUND', `${weightsFile} does not exist; expected the weights beside ${CONFIG_FILE}`)
  }
  await checkFolderLink(weightsFile)
  const strata = await readStrataFile(join(folder, STRATA_FILE), encoder.layers)
  const { tensors } = inspectSafetensors(weightsFile)
  const heads = strata ? strata.heads : headsOfTensors(tensors, encoder.layers, json)
  checkCounts({ ...strata, encoder, heads }, tensors, weightsFile)
  checkHeads(heads, weightsFile)
  return {
    weightsFile,
    encoder,
    strata,
    tensors,
    parts: {
      heads,
      ...(strata?.agreements ? { agreements: strata.agreements } : {}),
      ...(strata?.mixes ? { mixes: strata.mixes } : {}),
      ...(strata?.adapters ? { adapters: strata.adapters } : {}),
      ...(strata ? {} : { fromElsewhere: true }),
    },
    tasks: strata ? (strata.tasks ?? []) : tasksOfConfig(json, heads, encoder.maxPositions, configFile),
    tied: (json as Record<string, unknown>).tie_word_embeddings !== false,
  }
}
