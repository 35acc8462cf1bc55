/**
 * What a model folder's description may ask for, checked against its weights before a parameter is named or allocated: a small file
 * must not make the process compute, or run out of memory.
 */
import { totalmem } from 'node:os'
import { StrataError } from '../errors.js'
import type { AdapterConfig, HeadConfig, ModelConfig } from './config.js'
import type { FileParts } from './huggingface.js'
import { modelParameterShapes } from './parameter-shapes.js'
import type { StoredTensorInfo } from './safetensors.js'

/** As in stratabert.json. */
const MOST_CLASSES = 1_000_000
const FLOATS = ['F64', 'F32', 'F16', 'BF16']

/** Throws BAD_CHECKPOINT when layers, heads, mixes or adapters need more tensors than the file has. */
export function checkCounts(config: ModelConfig, tensors: readonly unknown[], file: string): void {
  const { encoder, heads, mixes = [], adapters = [], agreements } = config
  const wanted: [string, number][] = [
    [`an encoder of ${encoder.layers} layers`, encoder.layers],
    [`${heads.length} heads`, heads.length],
    [`${mixes.length} mixes`, mixes.length],
    ['agreements', agreements ? agreements.relations.length * agreements.layers : 0],
    ...adapters.map((adapter): [string, number] => [`adapter ${adapter.name}`, leastTensors(adapter, encoder.layers)]),
    [`${adapters.length} adapters`, adapters.reduce((sum, one) => sum + leastTensors(one, encoder.layers), 0)],
  ]
  for (const [what, count] of wanted) {
    if (count <= tensors.length) continue
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file} holds ${tensors.length} tensors, and the folder describes ${what} with at least ${count}; check that its files belong together`,
      { details: { file } },
    )
  }
}

/** A lower bound, without naming them. */
function leastTensors({ kind, blocks = 6, layerNorms }: AdapterConfig, layers: number): number {
  const own = kind === 'top-layer' ? 1 : kind === 'top-attention' ? blocks : layers
  return layerNorms ? own + layers : own
}

/**
 * Throws BAD_CHECKPOINT when a head has no number of classes that a head can have (a tensor without numbers may claim any), or no
 * dropout that is one.
 */
export function checkHeads(heads: readonly HeadConfig[], file: string): void {
  for (const head of heads) {
    if ('dropout' in head && !(head.dropout >= 0 && head.dropout < 1)) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${file}: dropout of head ${head.name} is ${head.dropout} in the files beside it; 0 ≤ p < 1 was expected`,
        { details: { file } },
      )
    }
    if (!('classes' in head) || (head.classes >= 1 && head.classes <= MOST_CLASSES)) continue
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file}: tensor classifier.weight has ${head.classes} rows; 1 to ${MOST_CLASSES} classes were expected`,
      { details: { file, tensor: 'classifier.weight' } },
    )
  }
}

/** Throws BAD_CHECKPOINT when the file lacks a parameter of a head, mix or adapter that the folder itself describes. */
export function checkComplete(fresh: readonly string[], parts: FileParts, file: string): void {
  if (parts.fromElsewhere) return
  const [name] = fresh
  if (name === undefined) return
  throw new StrataError(
    'BAD_CHECKPOINT',
    `${file} holds no tensor ${name}, which the folder's stratabert.json asks for; check that its files belong together`,
    { details: { file, tensor: name } },
  )
}

/** Throws BAD_FILE when a tensor that is to be read holds no floating-point numbers. */
export function checkFloats(tensors: readonly StoredTensorInfo[], names: Iterable<string>, file: string): void {
  const used = new Set(names)
  const found = tensors.find(({ name, dtype }) => used.has(name) && !FLOATS.includes(dtype))
  if (!found) return
  throw new StrataError(
    'BAD_FILE',
    `${file}: tensor ${found.name} has dtype ${found.dtype}; F64, F32, F16 or BF16 was expected`,
    { details: { file, tensor: found.name } },
  )
}

/** What to say of a model that answers with parameters which no file held: a head of a folder that does not describe its heads. */
export function freshWarnings(folder: string, fresh: readonly string[]): string[] {
  if (fresh.length === 0) return []
  const shown = fresh.slice(0, 5).join(', ')
  const more = fresh.length > 5 ? ` and ${fresh.length - 5} more` : ''
  return [
    `${folder} lacks ${shown}${more}, drawn at random in its place: what reads them answers at random; take a whole checkpoint, or train them first`,
  ]
}

/** Throws OUT_OF_MEMORY when the parameters alone are larger than the machine's memory. `parameterBytes`: of one number. */
export function checkMemory(config: ModelConfig, parameterBytes: number, file: string): void {
  let numbers = 0
  for (const shape of Object.values(modelParameterShapes(config))) numbers += shape.reduce((a, b) => a * b, 1)
  const bytes = numbers * parameterBytes
  const most = memoryLimit()
  if (bytes <= most) return
  const gigabytes = (count: number): string => `${(count / 1e9).toPrecision(3)} GB`
  throw new StrataError(
    'OUT_OF_MEMORY',
    `${file}: the model has ${numbers} parameters, ${gigabytes(bytes)}; the machine has ${gigabytes(most)}; load a smaller model`,
    { details: { file, bytes } },
  )
}

/** Of the machine, or of the container that this process runs in. */
function memoryLimit(): number {
  const constrained = (process as { constrainedMemory?: () => number | undefined }).constrainedMemory?.() ?? 0
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}
