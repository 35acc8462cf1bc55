/**
 * An adapter by itself: `adapter.json` (what it is, the base that it was made for, the heads and tasks that use it) and
 * `adapter.safetensors` (its weights and those of the heads). Some hundred kilobytes that turn a base encoder into a task's own.
 */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { fileError, StrataError } from '../errors.js'
import { placedMixes } from './adapter-mixes.js'
import type { AdapterConfig, EncoderConfig, HeadConfig, MixConfig, ModelConfig } from './config.js'
import { checkFolderLink, packageVersion, readJson, syncPath, writeFileSynced } from './folder-files.js'
import { SHARED_POOLER } from './huggingface-heads.js'
import type { Model } from './model.js'
import { adapterNorm, ENCODER_NORM, encoderNorms, modelParameterShapes } from './parameter-shapes.js'
import { checkCounts, checkFloats } from './plausible-folder.js'
import { readFloatTensor } from './read-tensor.js'
import { inspectSafetensors } from './safetensors.js'
import { type SavedTask, savedTaskProblem, savedTaskSchema } from './saved-task.js'
import { adapterSchema, headSchema, mixSchema, parseBySchema } from './strata-file.js'
import { floatTensor, writeTensorFile } from './write-tensors.js'

const DESCRIPTION_FILE = 'adapter.json'
const ADAPTER_WEIGHTS_FILE = 'adapter.safetensors'
const FORMAT = 1

const SHAPE_FIELDS = ['layers', 'hiddenSize', 'heads', 'intermediateSize', 'vocabSize', 'maxPositions'] as const

const size = z.int().min(1)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const fileSchema = z.object({
  format: z.literal(FORMAT),
  version: z.string(),
  adapter: adapterSchema,
  base: z.object({
    layers: size,
    hiddenSize: size,
    heads: size,
    intermediateSize: size,
    vocabSize: size,
    maxPositions: size,
    sha256,
    frozenSha256: sha256.optional(),
    agreementsSha256: sha256.nullable().optional(),
  }),
  heads: z.array(headSchema),
  mixes: z.array(mixSchema).default([]),
  tasks: z.array(savedTaskSchema).default([]),
})

/** What an adapter brings to a base. */
export interface AdapterParts {
  adapter: AdapterConfig
  heads: HeadConfig[]
  mixes: MixConfig[]
  tasks: SavedTask[]
}

/** Hashes of an encoder's weights: of all of them, and of those beside the LayerNorms; and of what agreements add to its input. */
interface EncoderHashes {
  sha256: string
  /** Missing in folders of old. */
  frozenSha256?: string
  /** Of gates and submodels; null for a base without, missing in folders of old, which fit either. */
  agreementsSha256?: string | null
}

/** What an adapter was made for: the encoder's shape, and hashes of its weights. */
export type AdapterBase = Pick<EncoderConfig, (typeof SHAPE_FIELDS)[number]> & EncoderHashes

/** An extracted adapter on disk, looked at but not loaded. */
export interface AdapterFolder extends AdapterParts {
  folder: string
  weightsFile: string
  base: AdapterBase
}

/** An adapter as a base takes it. */
export interface FittedAdapter extends AdapterFolder {
  /** Name of the parameter → tensor in the weights file; a mix may have another name there. */
  tensors: Record<string, string>
}

/** Where values of parameters come from: a live model, or a file. */
export type ValueReader = (name: string) => Promise<Float32Array> | Float32Array

/** The adapter of a name with the heads, mixes and tasks that use it. Throws NOT_FOUND with the names that there are. */
export function adapterParts(config: ModelConfig, tasks: readonly SavedTask[], name: string): AdapterParts {
  const adapter = config.adapters?.find((one) => one.name === name)
  if (!adapter) {
    const known = config.adapters?.map((one) => one.name).join(', ') || 'none'
    throw new StrataError('NOT_FOUND', `no adapter is named "${name}"; the model has: ${known}`)
  }
  const own = tasks.filter((task) => task.adapter === name)
  const heads = config.heads.filter((head) =>
    own.length > 0 ? own.some((task) => task.head === head.name) : head.name === name,
  )
  const mixes = (config.mixes ?? []).filter((mix) => heads.some((head) => head.tap?.mix === mix.name))
  return { adapter, heads, mixes, tasks: own }
}

/**
 * Writes an adapter of a model, with the heads of the tasks that use it, into a folder of its own. `tasks` are the model's saved
 * tasks; without them the head of the adapter's name goes along. Throws NOT_FOUND for an adapter that the model lacks.
 */
export async function saveAdapter(
  model: Model,
  name: string,
  folder: string,
  options: { tasks?: readonly SavedTask[] } = {},
): Promise<void> {
  const parts = adapterParts(model.config, options.tasks ?? [], name)
  const read: ValueReader = async (parameter) =>
    Float32Array.from((await model.readTensors('value', [parameter]))[parameter])
  await writeAdapterFolder(folder, model.config, parts, read)
}

/** @internal Writes the folder from wherever the values are. */
export async function writeAdapterFolder(
  folder: string,
  config: ModelConfig,
  parts: AdapterParts,
  read: ValueReader,
): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw fileError(error, folder, 'write the adapter')
  })
  const shapes = modelParameterShapes(config)
  const heads = parts.heads.map(withOwnPooler)
  // The encoder's LayerNorms come along: those that were trained beside the adapter may differ from its base's.
  const carried = new Map(encoderNorms(config.encoder).map((norm) => [adapterNorm(parts.adapter.name, norm), norm]))
  const withNorms = { ...parts, heads, adapter: { ...parts.adapter, layerNorms: true } }
  const tensors = Object.entries(modelParameterShapes(configOf(config.encoder, withNorms)))
    .filter(([name]) => !name.startsWith('bert.'))
    // A pooler that the head shared with others becomes its own: the folder stands alone.
    .map(([name, shape]) => ({
      name,
      shape,
      source: shapes[name] ? name : (carried.get(name) ?? name.replace(/^heads\..*\.pooler/, SHARED_POOLER)),
    }))
  const sources = await Promise.all(
    tensors.map(async ({ name, shape, source }) => floatTensor(name, shape, await read(source))),
  )
  const description = {
    format: FORMAT,
    version: packageVersion(),
    adapter: parts.adapter,
    base: { ...shapeOf(config.encoder), ...(await encoderHashes(config, read)) },
    heads,
    mixes: parts.mixes,
    tasks: parts.tasks,
  }
  await writeTensorFile(join(folder, ADAPTER_WEIGHTS_FILE), sources)
  await writeFileSynced(join(folder, DESCRIPTION_FILE), `${JSON.stringify(description, null, 2)}\n`)
  await syncPath(folder)
}

/** Reads and checks an adapter's folder but its weights. Throws NOT_FOUND, BAD_CHECKPOINT or BAD_FILE with file and field. */
export async function readAdapterFolder(folder: string): Promise<AdapterFolder> {
  const file = join(folder, DESCRIPTION_FILE)
  const { adapter, base, heads, mixes, tasks } = parseBySchema(fileSchema, await readJson(file), file)
  for (const task of tasks) {
    const problem = savedTaskProblem(task, heads, [adapter])
    if (problem) throw new StrataError('BAD_CHECKPOINT', `${file}: ${problem}`)
  }
  return { folder, weightsFile: join(folder, ADAPTER_WEIGHTS_FILE), adapter, base, heads, mixes, tasks }
}

/**
 * The adapter of a folder as a base takes it: with LayerNorms of its own where those that were trained with it are not the base's, and with
 * mixes as {@link placedMixes} says. `read` gives undefined for what the base has and no file holds. Throws BAD_CHECKPOINT when the adapter was made for another shape or for other weights, or when its weights are not what it describes.
 */
export async function fittedAdapter(
  base: { config: ModelConfig; folder: string },
  added: AdapterFolder,
  read: (name: string) => Promise<Float32Array> | Float32Array | undefined,
): Promise<FittedAdapter> {
  const { config } = base
  for (const field of SHAPE_FIELDS) {
    if (config.encoder[field] === added.base[field]) continue
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${added.folder}: the adapter was made for an encoder with ${field} ${added.base[field]}, ${base.folder} has ${config.encoder[field]}; add it to its own base`,
    )
  }
  await checkWeights(config.encoder, added)
  const hashes = await encoderHashes(config, (name) => read(name)!)
  const { agreementsSha256: agreed } = added.base
  if (agreed !== undefined && agreed !== hashes.agreementsSha256) {
    const nameOf = (sha: string | null) => (sha === null ? 'none' : `those of hash ${sha.slice(0, 8)}`)
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${added.folder}: the adapter was made for other agreements (gates and submodels): ${nameOf(agreed)}, ${base.folder} has ${nameOf(hashes.agreementsSha256)}; add it to the base that it was trained on`,
    )
  }
  const file = (name: string): Float32Array => readFloatTensor(added.weightsFile, name)
  const { parts, renamed } = await placedMixes(config, added, { model: read, file })
  const placed = { ...added, ...parts }
  if (hashes.sha256 === added.base.sha256) return withTensors(config.encoder, placed, renamed)
  if (hashes.frozenSha256 === added.base.frozenSha256) {
    const adapter = { ...added.adapter, layerNorms: true }
    return withTensors(config.encoder, { ...placed, adapter }, renamed)
  }
  throw new StrataError(
    'BAD_CHECKPOINT',
    `${added.folder}: the adapter was made for other encoder weights than those of ${base.folder} (their hashes differ, also without the LayerNorms); add it to the base that it was trained on`,
  )
}

function withTensors(encoder: EncoderConfig, added: AdapterFolder, renamed: Record<string, string>): FittedAdapter {
  const stored = (name: string): string =>
    name.replace(/^mixes\.([^.]+)/, (whole, mix) => (Object.hasOwn(renamed, mix) ? `mixes.${renamed[mix]}` : whole))
  const tensors = Object.fromEntries(adapterParameters(encoder, added).map((name) => [name, stored(name)]))
  return { ...added, tensors }
}

/** Before anything is allocated for it: the adapter's file holds each of its tensors in its shape. */
async function checkWeights(encoder: EncoderConfig, added: AdapterFolder): Promise<void> {
  const { weightsFile, adapter, heads, mixes } = added
  await checkFolderLink(weightsFile)
  const { tensors } = inspectSafetensors(weightsFile)
  checkCounts({ encoder, heads, mixes, adapters: [adapter] }, tensors, weightsFile)
  const stored = new Map(tensors.map(({ name, shape }) => [name, shape]))
  const names = adapterParameters(encoder, added)
  checkFloats(tensors, names, weightsFile)
  const shapes = modelParameterShapes(configOf(encoder, added))
  for (const name of names) {
    const [found, expected] = [stored.get(name), shapes[name]]
    if (found && `${found}` === `${expected}`) continue
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${weightsFile}: tensor ${name} ${found ? `has shape (${found.slice(0, 8).join(', ')})` : 'is missing'}; (${expected.join(', ')}) was expected; check that the folder's files belong together`,
      { details: { file: weightsFile, tensor: name } },
    )
  }
}

/** The configuration and tasks of a base with a fitted adapter added. Throws BAD_ARGUMENT when a name is taken. */
export function withAdapter(
  base: { config: ModelConfig; tasks: readonly SavedTask[]; folder: string },
  added: AdapterFolder,
): { config: ModelConfig; tasks: SavedTask[] } {
  const { config } = base
  const taken = { adapter: config.adapters ?? [], head: config.heads, mix: config.mixes ?? [], task: base.tasks }
  const news = { adapter: [added.adapter], head: added.heads, mix: added.mixes, task: added.tasks }
  for (const what of ['adapter', 'head', 'mix', 'task'] as const) {
    const twice = news[what].find(({ name }) => taken[what].some((one) => one.name === name))
    if (twice) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `${added.folder} brings the ${what} ${twice.name}, and ${base.folder} has one of that name; names must differ`,
      )
    }
  }
  return {
    config: {
      ...config,
      heads: [...config.heads, ...added.heads],
      adapters: [...taken.adapter, added.adapter],
      ...(taken.mix.length + added.mixes.length > 0 ? { mixes: [...taken.mix, ...added.mixes] } : {}),
    },
    tasks: [...base.tasks, ...added.tasks],
  }
}

/** Names of the parameters that an adapter's folder holds. */
function adapterParameters(encoder: EncoderConfig, parts: AdapterParts): string[] {
  return Object.keys(modelParameterShapes(configOf(encoder, parts))).filter((name) => !name.startsWith('bert.'))
}

function configOf(encoder: EncoderConfig, { adapter, heads, mixes }: AdapterParts): ModelConfig {
  return { encoder, heads, mixes, adapters: [adapter] }
}

function withOwnPooler(head: HeadConfig): HeadConfig {
  return 'pooler' in head && head.pooler === 'shared' ? { ...head, pooler: 'own' as const } : head
}

function shapeOf(encoder: EncoderConfig): Omit<AdapterBase, keyof EncoderHashes> {
  return Object.fromEntries(SHAPE_FIELDS.map((field) => [field, encoder[field]])) as Omit<
    AdapterBase,
    keyof EncoderHashes
  >
}

/** SHA-256 over names, shapes and float32 values of the parameters that every task of a model shares. */
async function encoderHashes(
  { encoder, agreements }: ModelConfig,
  read: ValueReader,
): Promise<Required<EncoderHashes>> {
  const all = createHash('sha256')
  const frozen = createHash('sha256')
  const joined = createHash('sha256')
  for (const [name, shape] of Object.entries(modelParameterShapes({ encoder, agreements, heads: [] }))) {
    const values = await read(name)
    const own = name.startsWith('agreements.') ? [joined] : ENCODER_NORM.test(name) ? [all] : [all, frozen]
    for (const hash of own) {
      hash.update(`${name} [${shape}]\n`)
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    }
  }
  return {
    sha256: all.digest('hex'),
    frozenSha256: frozen.digest('hex'),
    agreementsSha256: agreements ? joined.digest('hex') : null,
  }
}
