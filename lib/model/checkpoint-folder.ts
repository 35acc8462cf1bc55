/**
 * A model on disk: a Hugging Face folder (`config.json`, `model.safetensors`, tokenizer files) plus `stratabert.json`,
 * which holds the heads and their taps. Folders written by transformers load without a conversion step.
 */
import { mkdir, open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { fileError, StrataError } from '../errors.js'
import { type HeadConfig, type ModelConfig, tapLayer } from './config.js'
import {
  exportMapping,
  headsOfTensors,
  huggingFaceConfig,
  importMapping,
  parseHuggingFaceConfig,
  type TensorShape,
} from './huggingface.js'
import { Model } from './model.js'
import type { ModelOptions } from './model-types.js'
import { readFloatTensor } from './read-tensor.js'
import { inspectSafetensors } from './safetensors.js'

const CONFIG_FILE = 'config.json'
const WEIGHTS_FILE = 'model.safetensors'
const STRATA_FILE = 'stratabert.json'
const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json', 'special_tokens_map.json']
const FORMAT = 1

const headBase = {
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/),
  tap: z.strictObject({ layer: z.int().min(0) }),
  weight: z.number().min(0),
}

const headSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('masked-lm'),
    ...headBase,
    transfer: z
      .strictObject({ from: z.string(), mode: z.enum(['concat', 'add', 'label']), stopGradient: z.boolean() })
      .optional(),
  }),
  z.strictObject({ kind: z.literal('next-sentence'), ...headBase }),
  z.strictObject({
    kind: z.literal('bigram-shift'),
    ...headBase,
    level: z.enum(['sentence', 'token']),
    read: z.enum(['mean', 'cls']),
  }),
])

const strataSchema = z.object({
  format: z.literal(FORMAT),
  version: z.string(),
  heads: z.array(headSchema),
  extra: z.record(z.string(), z.unknown()).default({}),
})

/** What `stratabert.json` holds. */
export interface StrataFile {
  format: 1
  /** Version of the package that wrote the folder. */
  version: string
  heads: HeadConfig[]
  extra: Record<string, unknown>
}

/** A model folder, looked at but not loaded. */
export interface ModelFolder {
  folder: string
  weightsFile: string
  /** Encoder of config.json and the heads found: those of stratabert.json, else by tensor names. */
  config: ModelConfig
  /** Parameter name → tensor name in the weights file. */
  mapping: Record<string, string>
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
  const { weightsFile, encoder, strata, tensors } = await inspectFolder(folder)
  const config: ModelConfig = { encoder, heads: strata?.heads ?? headsOfTensors(tensors, encoder.layers) }
  const { mapping } = importMapping(config, tensors, weightsFile, strata?.heads)
  const tokenizerFiles: string[] = []
  for (const name of TOKENIZER_FILES) if (await exists(join(folder, name))) tokenizerFiles.push(join(folder, name))
  return { folder, weightsFile, config, mapping, tokenizerFiles, strata }
}

export interface LoadModelOptions extends ModelOptions {
  /** Heads of the loaded model; default: those that the folder has. Heads that it lacks are freshly drawn. */
  heads?: HeadConfig[]
  /** Default 0, whatever the file says. */
  hiddenDropout?: number
  /** Default 0, whatever the file says. */
  attentionDropout?: number
}

export interface LoadedModel {
  model: Model
  config: ModelConfig
  /** Parameters that the folder did not hold: freshly drawn from the seed. */
  fresh: string[]
  /** Tensors of the folder that the model has no use for. */
  unused: string[]
}

/**
 * Loads a model from a folder of this package or of transformers (BertModel, BertForMaskedLM,
 * BertForNextSentencePrediction, BertForPreTraining). A requested head takes the weights of the folder's head of the same
 * name and kind; in a folder from elsewhere, a masked-LM or next-sentence head at the top layer takes the published head's.
 */
export async function loadModel(folder: string, options: LoadModelOptions = {}): Promise<LoadedModel> {
  const { heads, hiddenDropout, attentionDropout, ...modelOptions } = options
  const { weightsFile, encoder, strata, tensors, tied } = await inspectFolder(folder)
  const config: ModelConfig = {
    encoder: { ...encoder, hiddenDropout: hiddenDropout ?? 0, attentionDropout: attentionDropout ?? 0 },
    heads: heads ?? strata?.heads ?? headsOfTensors(tensors, encoder.layers),
  }
  const { mapping, leftBlocks, fresh, unused } = importMapping(config, tensors, weightsFile, strata?.heads)
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
  const model = await Model.create(config, modelOptions)
  try {
    await model.load(weightsFile, mapping)
    for (const [name, tensor] of Object.entries(leftBlocks)) {
      const left = await readFloatTensor(weightsFile, tensor)
      const rows = encoder.hiddenSize
      const values =
        modelOptions.precision === 'fp64' ? new Float64Array(2 * rows * rows) : new Float32Array(2 * rows * rows)
      for (let row = 0; row < rows; row++) values.set(left.subarray(row * rows, (row + 1) * rows), 2 * row * rows)
      await model.writeTensors({ [name]: values })
    }
  } catch (error) {
    await model.dispose()
    throw error
  }
  return { model, config, fresh, unused }
}

export interface SaveModelOptions {
  /** Writes its files into the folder. */
  tokenizer?: { save(folder: string): void | Promise<void> }
  /** Goes into stratabert.json as `extra`. */
  extra?: Record<string, unknown>
}

/**
 * Writes a model as a folder that transformers opens (see huggingface.ts for the names). Every file and the folder are
 * fsynced. Returns the names of the files written, the tokenizer's included.
 */
export async function saveModelFolder(model: Model, folder: string, options: SaveModelOptions = {}): Promise<string[]> {
  const { config } = model
  const strata: StrataFile = {
    format: FORMAT,
    version: packageVersion(),
    heads: config.heads,
    extra: options.extra ?? {},
  }
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw fileError(error, folder, 'write the model folder')
  })
  await writeFileSynced(join(folder, CONFIG_FILE), `${JSON.stringify(huggingFaceConfig(config), null, 2)}\n`)
  await writeFileSynced(join(folder, STRATA_FILE), `${JSON.stringify(strata, null, 2)}\n`)
  await model.save(join(folder, WEIGHTS_FILE), exportMapping(config).mapping, { format: 'pt' })
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

interface InspectedFolder {
  weightsFile: string
  encoder: ModelConfig['encoder']
  strata?: StrataFile
  tensors: TensorShape[]
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
  const strata = await readStrata(join(folder, STRATA_FILE), encoder.layers)
  const { tensors } = inspectSafetensors(weightsFile)
  return {
    weightsFile,
    encoder,
    strata,
    tensors,
    tied: (json as Record<string, unknown>).tie_word_embeddings !== false,
  }
}

async function readStrata(file: string, layers: number): Promise<StrataFile | undefined> {
  if (!(await exists(file))) return undefined
  const parsed = strataSchema.safeParse(await readJson(file))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file}: ${issue.path.join('.') || 'the file'}: ${issue.message}; expected what this version of the package writes`,
      { details: { file } },
    )
  }
  for (const head of parsed.data.heads)
    if (tapLayer(head.tap, layers) > layers) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${file}: head ${head.name} reads layer ${head.tap.layer}, ${CONFIG_FILE} says ${layers} layers; the two files do not belong together`,
      )
    }
  return parsed.data
}

async function readJson(file: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw fileError(error, file, 'read the model folder')
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file} is not JSON (${(error as Error).message}); write the folder anew`,
      {
        cause: error,
        details: { file },
      },
    )
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function writeFileSynced(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, 'w')
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw fileError(error, path, 'write the model folder')
  }
}

/** Brings what somebody else wrote to the disk: a file's bytes, or a folder's names. */
async function syncPath(path: string): Promise<void> {
  try {
    const file = await open(path, 'r')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw fileError(error, path, 'write the model folder')
  }
}

function packageVersion(): string {
  // Both lib/model/ and dist/model/ stand two folders below package.json.
  return (require('../../package.json') as { version: string }).version
}
