/**
 * Names of tensors in Hugging Face's BERT files, in both directions. Nothing here reads or writes a file.
 *
 * In a written file the encoder stands under `bert.…`; the first masked-LM head at the top layer without a transfer is
 * `cls.predictions.…` (its decoder is the word embedding and is not written); the first next-sentence head at the top
 * layer is `bert.pooler.dense` and `cls.seq_relationship`; a model's only task head, on the top layer, is `classifier` or
 * `qa_outputs` (huggingface-heads.ts); a shared pooler is `bert.pooler.dense` where no other head is; every other parameter keeps
 * its name. An encoder of another kind, or with agreements in its input, is opened by no class of transformers. So a model with both pre-training heads at the top opens as BertForPreTraining and a fine-tuned one as the class of
 * its task with the same logits, and every model opens as BertModel.
 */
import { StrataError } from '../errors.js'
import type { HeadConfig, ModelConfig } from './config.js'
import {
  hasOtherSize,
  headsOfTensors,
  isTopMaskedLm,
  isTopNextSentence,
  PUBLISHED_POOLER,
  publishedNames,
  publishedTaskHead,
  SHARED_POOLER,
  type TaskArchitecture,
  type TensorShape,
} from './huggingface-heads.js'
import { modelParameterShapes } from './parameter-shapes.js'

export type BertArchitecture =
  | 'BertModel'
  | 'BertForMaskedLM'
  | 'BertForNextSentencePrediction'
  | 'BertForPreTraining'
  | TaskArchitecture
  | typeof CRAMMED_ARCHITECTURE
  | typeof AGREEMENT_ARCHITECTURE

/** Of a model that no class of transformers opens. */
const CRAMMED_ARCHITECTURE = 'StratabertCrammedModel'
/** Of BERT's blocks on embeddings that agreements join. */
const AGREEMENT_ARCHITECTURE = 'StratabertAgreementModel'

/** The name in the written file of every parameter, and the class that opens it in transformers. */
export function exportMapping(config: ModelConfig): {
  mapping: Record<string, string>
  architecture: BertArchitecture
} {
  const published = publishedNames(config)
  const mapping: Record<string, string> = {}
  for (const name of Object.keys(modelParameterShapes(config))) mapping[name] = published[name] ?? name
  return { mapping, architecture: architectureOf(config) }
}

function architectureOf(config: ModelConfig): BertArchitecture {
  if (config.encoder.kind === 'crammed') return CRAMMED_ARCHITECTURE
  if (config.agreements) return AGREEMENT_ARCHITECTURE
  const task = publishedTaskHead(config)
  if (task) return task.architecture
  const { layers } = config.encoder
  const maskedLm = config.heads.some((head) => isTopMaskedLm(head, layers) && !head.transfer)
  const nextSentence = config.heads.some((head) => isTopNextSentence(head, layers))
  if (maskedLm) return nextSentence ? 'BertForPreTraining' : 'BertForMaskedLM'
  return nextSentence ? 'BertForNextSentencePrediction' : 'BertModel'
}

/** Other names under which old files hold the same tensor. */
function spellings(name: string): string[] {
  const names = [name]
  if (name.startsWith('bert.')) names.push(name.slice('bert.'.length))
  if (name === 'cls.predictions.bias') names.push('cls.predictions.decoder.bias')
  for (const spelling of [...names]) {
    if (spelling.endsWith('LayerNorm.weight')) names.push(spelling.replace(/weight$/, 'gamma'))
    if (spelling.endsWith('LayerNorm.bias')) names.push(spelling.replace(/bias$/, 'beta'))
  }
  return names
}

/** Tensors that hold nothing of their own: index buffers and the decoder, which is the word embedding again. */
function isRedundant(name: string): boolean {
  return (
    /(^|\.)embeddings\.(position_ids|token_type_ids)$/.test(name) ||
    /^cls\.predictions\.decoder\.(weight|bias)$/.test(name)
  )
}

/** What the weights file was written from. */
export interface FileParts extends Pick<ModelConfig, 'heads' | 'agreements' | 'mixes' | 'adapters'> {
  /** True for a file without stratabert.json: its heads were found by their tensors, and their names say nothing. */
  fromElsewhere?: boolean
}

export interface ImportMapping {
  /** Our parameter name → tensor name in the file. */
  mapping: Record<string, string>
  /** Our (H, 2H) parameter → the file's (H, H) tensor that fills its left block; the right block becomes 0. */
  leftBlocks: Record<string, string>
  /** Poolers without weights of their own in the file → the published encoder's pooler that they start from; part of `mapping`. */
  borrowed: Record<string, string>
  /** Parts of the model (`heads.rte`, `adapters.rte`) → the file's that they go on from. */
  continued: Record<string, string>
  /** Parts of the model → the file's, which have other sizes, so that they start fresh. */
  resized: Record<string, string>
  /** Parameters that the file does not hold: they keep their fresh draw. */
  fresh: string[]
  /** Tensors of the file that nothing of the model reads. */
  unused: string[]
}

/**
 * Which tensor of a file fills which parameter of a model. `parts` are what stratabert.json lists; for a file from elsewhere the
 * heads found by tensors. A head, relation, mix or adapter of the model takes the weights of the file's of the same name and kind; from a
 * file from elsewhere, the first head of that kind at the top layer does. One of other sizes (a head of other classes, an adapter of another
 * size) starts fresh as a whole. A pooler that is new, and as wide as the encoder, takes the file's `bert.pooler.dense`,
 * as BertForSequenceClassification does, unless a next-sentence head of the model has it. Throws BAD_CHECKPOINT where the
 * encoder lacks a tensor or a shape differs.
 */
export function importMapping(
  config: ModelConfig,
  tensors: readonly TensorShape[],
  file: string,
  parts: FileParts = { heads: headsOfTensors(tensors, config.encoder.layers), fromElsewhere: true },
): ImportMapping {
  const shapes = new Map(tensors.map((tensor) => [tensor.name, tensor.shape]))
  const find = (name: string | undefined): string | undefined =>
    name === undefined ? undefined : spellings(name).find((spelling) => shapes.has(spelling))
  const wanted = modelParameterShapes(config)
  const { partners, resized } = partnersInFile(config, parts, wanted)
  const nameInFile = namesInFile(config, parts, partners)
  const poolerTaken = config.heads.some((head) => isTopNextSentence(head, config.encoder.layers))

  const continued = Object.fromEntries(partners)
  const result: ImportMapping = { mapping: {}, leftBlocks: {}, borrowed: {}, continued, resized, fresh: [], unused: [] }
  const used = new Set<string>()
  for (const [name, shape] of Object.entries(wanted)) {
    let found = find(nameInFile(name))
    // LayerNorms of an adapter's own start as the encoder's.
    found ??= find(/^adapters\.[^.]+\.norms\.(.*)$/.exec(name)?.[1].replace(/^/, 'bert.'))
    if (found === undefined && !poolerTaken && takesPublishedPooler(name, config)) {
      found = find(`${PUBLISHED_POOLER}.${name.split('.').at(-1)}`)
      if (found !== undefined) result.borrowed[name] = found
    }
    if (found === undefined) {
      if (!name.startsWith('bert.')) {
        result.fresh.push(name)
        continue
      }
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${file} holds no tensor ${name} of shape (${shape.join(', ')}), which its config.json asks for; check that config.json and the weights belong together`,
        { details: { file, tensor: name, expected: shape } },
      )
    }
    const actual = shapes.get(found)!
    const leftBlock = isLeftBlock(headOf(name, config.heads), name, shape, actual)
    if (!leftBlock && !isSameShape(shape, actual)) {
      throw new StrataError(
        'BAD_CHECKPOINT',
        `${file}: tensor ${found} has shape (${actual.join(', ')}), the model's ${name} has shape (${shape.join(', ')}); load it with the configuration that it was written with`,
        { details: { file, tensor: found, actual, expected: shape } },
      )
    }
    used.add(found)
    ;(leftBlock ? result.leftBlocks : result.mapping)[name] = found
  }
  result.unused = tensors.map((tensor) => tensor.name).filter((name) => !used.has(name) && !isRedundant(name))
  return result
}

/**
 * The file's head, relation, mix or adapter that each of the model's goes on from, by `heads.<name>` and the like, and those of other sizes,
 * from which none can.
 */
function partnersInFile(config: ModelConfig, parts: FileParts, wanted: Record<string, number[]>) {
  const { encoder } = config
  const partners = new Map<string, string>()
  for (const head of config.heads) {
    const partner = parts.heads.find(
      (other) => other.kind === head.kind && (parts.fromElsewhere || other.name === head.name),
    )
    if (!partner) continue
    if (parts.fromElsewhere) {
      const first = config.heads.find((other) => other.kind === head.kind && other.tap?.layer === encoder.layers)
      if (first !== head) continue
    }
    partners.set(`heads.${head.name}`, `heads.${partner.name}`)
  }
  for (const name of config.agreements?.relations ?? []) {
    if (parts.agreements?.relations.includes(name)) partners.set(`agreements.${name}`, `agreements.${name}`)
  }
  for (const { name } of config.mixes ?? []) {
    if (parts.mixes?.some((other) => other.name === name)) partners.set(`mixes.${name}`, `mixes.${name}`)
  }
  for (const { name, kind } of config.adapters ?? []) {
    const same = parts.adapters?.some((other) => other.name === name && other.kind === kind)
    if (same) partners.set(`adapters.${name}`, `adapters.${name}`)
  }
  // By what the file says of itself: tensors that contradict that are a damaged file.
  const held = modelParameterShapes({ ...parts, encoder })
  const resized: Record<string, string> = {}
  for (const [name, shape] of Object.entries(wanted)) {
    const part = partOf(name)
    const partner = partners.get(part)
    const there = partner === undefined ? undefined : held[partner + name.slice(part.length)]
    if (there === undefined || isSameShape(shape, there)) continue
    if (isLeftBlock(headOf(name, config.heads), name, shape, there)) continue
    resized[part] = partner!
  }
  for (const part of Object.keys(resized)) partners.delete(part)
  return { partners, resized }
}

/** The name in the file, by our rule of names, of a parameter of the model; undefined if the file has no such head, relation, mix or adapter. */
function namesInFile(
  config: ModelConfig,
  parts: FileParts,
  partners: ReadonlyMap<string, string>,
): (name: string) => string | undefined {
  const names = exportMapping({ ...parts, encoder: config.encoder }).mapping
  // One gate a relation: they fit where the relations are the same.
  const sameGates = config.agreements?.relations.join() === parts.agreements?.relations.join()
  return (name) => {
    if (name.startsWith('bert.')) return name
    if (name === 'agreements.gates') return sameGates ? name : undefined
    if (name.startsWith(`${SHARED_POOLER}.`)) return names[name]
    const part = partOf(name)
    const partner = partners.get(part)
    if (partner === undefined) return undefined
    const own = name.slice(part.length)
    // A head that shared its pooler in the file and has its own now goes on from the shared one.
    return names[partner + own] ?? (own.startsWith('.pooler.') ? names[`${SHARED_POOLER}.${own.slice(8)}`] : undefined)
  }
}

/** `heads.<name>` of a head's parameter, and the like. */
function partOf(name: string): string {
  return /^[^.]+\.[^.]+/.exec(name)?.[0] ?? name
}

function isSameShape(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, axis) => size === right[axis])
}

function headOf(name: string, heads: readonly HeadConfig[]): HeadConfig | undefined {
  return heads.find((head) => name.startsWith(`heads.${head.name}.`))
}

/** The pooler of a classifier, regressor or ranker, unless it has a size of its own, or the one that they share. */
function takesPublishedPooler(name: string, config: ModelConfig): boolean {
  if (name.startsWith(`${SHARED_POOLER}.`)) return true
  const head = headOf(name, config.heads)
  if (head === undefined || !('pooler' in head) || hasOtherSize(head, config)) return false
  return name.startsWith(`heads.${head.name}.pooler.`)
}

/** A masked LM trained without transfer starts one with a concatenating transfer: [h ; p] with a zero right block. */
function isLeftBlock(head: HeadConfig | undefined, name: string, shape: number[], actual: number[]): boolean {
  if (head?.kind !== 'masked-lm' || !name.endsWith('.transform.dense.weight')) return false
  const mode = head.transfer?.mode
  return (
    (mode === 'concat' || mode === 'label') &&
    actual.length === 2 &&
    actual[0] === shape[0] &&
    2 * actual[1] === shape[1]
  )
}
