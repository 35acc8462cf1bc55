/**
 * What each input of an epoch is made of, decided once per epoch in one cheap pass and kept in typed arrays (17 bytes an
 * input). Next-sentence pairs follow `create_pretraining_data` of the original BERT (Devlin et al. 2019): fill A and B from one
 * document up to a target length, replace B by text of another document in half of the cases and put the unused sentences back,
 * 10 % of the documents have a short target, the longer side is truncated token by token at random ends.
 * Our choice: a running balance of the labels and at least two sentences a chunk where the document has them, because a chunk of
 * one sentence always gets a random B there, which shifts the prior and lets the length tell the label.
 */
import { StrataError } from '../errors.js'
import { groupByTokens } from './batch-grouping.js'
import { NO_LABEL } from './packed-batch.js'
import { cutSegments, cutSentences } from './plan-segments.js'
import { type PlanStatistics, PlanTables } from './plan-tables.js'
import { type RandomStream, stream } from './random.js'
import type { TokenCorpus } from './token-corpus.js'

export type { PlanStatistics } from './plan-tables.js'

/**
 * How documents become inputs: `pairs` = `[CLS] A [SEP] B [SEP]`, `segments` = `[CLS] A [SEP]` with A filled by whole sentences of
 * one document, `sentences` = one sentence an input.
 */
export type InputKind = 'pairs' | 'segments' | 'sentences'

export interface PairPlanOptions {
  /** Documents that take part; default all. */
  documents?: Int32Array
  input: InputKind
  /** Longest input in tokens, special tokens included. */
  maxSequenceTokens: number
  /** Most tokens a batch. */
  batchTokens: number
  seed: number
  epoch: number
  /** Share of documents whose inputs are filled to a random shorter length; default 0.1. Pairs only. */
  shortShare?: number
  /** Whether inputs are met in random order; default true. */
  shuffle?: boolean
}

/** The inputs of one epoch. Legend: I inputs, N batches. Token positions count in the corpus's `tokenIds`. */
export interface PairPlan {
  readonly inputCount: number
  readonly batchCount: number
  /** First token of segment A, shape (I). */
  readonly aStart: Uint32Array
  /** First token of segment B, shape (I). */
  readonly bStart: Uint32Array
  /** Tokens of A after truncation, shape (I). */
  readonly aLength: Uint16Array
  /** Tokens of B after truncation, shape (I); 0 = the input has no second segment. */
  readonly bLength: Uint16Array
  /** 0 = B follows A, 1 = B is from another document, -100 = no label; shape (I). */
  readonly labels: Int8Array
  /** Inputs in the order in which they are met, shape (I). */
  readonly order: Uint32Array
  /** Where each batch starts in `order`, shape (N + 1). */
  readonly batchStarts: Uint32Array
  readonly statistics: PlanStatistics
}

const LARGEST_SEQUENCE = 65_535
/** At this surplus of random pairs a free choice is always "follows"; see {@link pairDocument}. */
const BALANCE_REACH = 4
/** At this surplus a chunk of one sentence stays alone instead of getting a random B. */
const BALANCE_LIMIT = 8

/** Tokens of an input with its special tokens. */
export function inputTokens(aLength: number, bLength: number): number {
  return bLength > 0 ? aLength + bLength + 3 : aLength + 2
}

/**
 * Plans one epoch; a pure function of its arguments. About 0.3 s for a million sentences.
 * Throws BAD_ARGUMENT on sizes that do not fit each other and BAD_DATA when the documents give no input, or no pair with `input: 'pairs'`.
 */
export function buildPairPlan(corpus: TokenCorpus, options: PairPlanOptions): PairPlan {
  checkSizes(options)
  const documents = options.documents ?? new Int32Array(countUp(corpus.documentCount))
  const tables = new PlanTables()
  const pairable = sortDocuments(corpus, documents, options.input, tables.statistics)
  const planRandom = stream(options.seed, 'pair-plan', options.epoch)
  const scratch: DocumentScratch = { sentences: new Uint32Array(256), count: 0 }
  for (const document of documents) {
    if (loadSentences(corpus, document, scratch) === 0) continue
    if (options.input === 'sentences') {
      cutSentences(corpus, scratch.sentences.subarray(0, scratch.count), options.maxSequenceTokens - 2, tables)
    } else if (options.input === 'segments' || scratch.count === 1) {
      cutSegments(corpus, scratch.sentences.subarray(0, scratch.count), options.maxSequenceTokens - 2, tables)
    } else {
      pairDocument(corpus, document, scratch, pairable, options, planRandom.child(document), tables)
    }
  }
  if (tables.count === 0) {
    throw new StrataError('BAD_DATA', `${documents.length} documents hold no token; give documents with text in them`)
  }
  tables.settleBalance()
  const order = countUp(tables.count)
  if (options.shuffle !== false) planRandom.child('order').shuffle(order)
  return finish(tables, order, options.batchTokens)
}

function countUp(length: number): Uint32Array {
  const values = new Uint32Array(length)
  for (let i = 0; i < length; i++) values[i] = i
  return values
}

function finish(tables: PlanTables, order: Uint32Array, batchTokens: number): PairPlan {
  const arrays = tables.arrays()
  const batchStarts = groupByTokens(
    order,
    (input) => inputTokens(arrays.aLength[input], arrays.bLength[input]),
    batchTokens,
  )
  const batchCount = batchStarts.length - 1
  let tokens = 0
  for (let i = 0; i < order.length; i++) tokens += inputTokens(arrays.aLength[i], arrays.bLength[i])
  const statistics = {
    ...tables.statistics,
    inputs: order.length,
    tokens,
    batches: batchCount,
    fill: tokens / (batchCount * batchTokens),
  }
  return { inputCount: order.length, batchCount, ...arrays, order, batchStarts, statistics }
}

function checkSizes(options: PairPlanOptions): void {
  const { maxSequenceTokens, batchTokens, shortShare = 0.1 } = options
  if (!(Number.isInteger(maxSequenceTokens) && maxSequenceTokens >= 8 && maxSequenceTokens <= LARGEST_SEQUENCE)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `maxSequenceTokens ${maxSequenceTokens}: an integer from 8 to ${LARGEST_SEQUENCE} was expected`,
    )
  }
  if (!(Number.isInteger(batchTokens) && batchTokens >= maxSequenceTokens)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `batchTokens ${batchTokens}: an integer of at least maxSequenceTokens (${maxSequenceTokens}) was expected`,
    )
  }
  if (!(shortShare >= 0 && shortShare <= 1)) {
    throw new StrataError('BAD_ARGUMENT', `shortShare ${shortShare}: a share from 0 to 1 was expected`)
  }
}

/** Checks the view, counts what cannot be used, and returns the documents that can lend a random B. */
function sortDocuments(
  corpus: TokenCorpus,
  documents: Int32Array,
  input: InputKind,
  statistics: PlanStatistics,
): Int32Array {
  const pairable = new Int32Array(documents.length)
  let count = 0
  for (const document of documents) {
    if (document < 0 || document >= corpus.documentCount) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `document ${document}: an index from 0 to ${corpus.documentCount - 1} was expected`,
      )
    }
    const sentences = countSentences(corpus, document)
    statistics.documents++
    if (sentences === 0) statistics.emptyDocuments++
    else if (sentences === 1) statistics.singleSentenceDocuments++
    else pairable[count++] = document
  }
  if (input === 'pairs' && count < 2) {
    throw new StrataError(
      'BAD_DATA',
      `${count} of ${documents.length} documents have two sentences or more; next-sentence pairs need at least 2 such documents ` +
        "(leave the next-sentence head out, or give input: 'segments')",
    )
  }
  return pairable.slice(0, count)
}

function countSentences(corpus: TokenCorpus, document: number): number {
  let count = 0
  const end = corpus.documentOffsets[document + 1]
  for (let sentence = corpus.documentOffsets[document]; sentence < end; sentence++) {
    if (corpus.sentenceOffsets[sentence + 1] > corpus.sentenceOffsets[sentence]) count++
  }
  return count
}

/** The sentences of one document that hold a token. */
interface DocumentScratch {
  sentences: Uint32Array
  count: number
}

function loadSentences(corpus: TokenCorpus, document: number, scratch: DocumentScratch): number {
  const first = corpus.documentOffsets[document]
  const end = corpus.documentOffsets[document + 1]
  if (end - first > scratch.sentences.length) scratch.sentences = new Uint32Array(2 * (end - first))
  scratch.count = 0
  for (let sentence = first; sentence < end; sentence++) {
    if (corpus.sentenceOffsets[sentence + 1] > corpus.sentenceOffsets[sentence]) {
      scratch.sentences[scratch.count++] = sentence
    }
  }
  return scratch.count
}

/** The pairs of one document of at least two sentences. */
function pairDocument(
  corpus: TokenCorpus,
  document: number,
  { sentences, count }: DocumentScratch,
  pairable: Int32Array,
  options: PairPlanOptions,
  random: RandomStream,
  tables: PlanTables,
): void {
  const offsets = corpus.sentenceOffsets
  const room = options.maxSequenceTokens - 3
  const target = random.chance(options.shortShare ?? 0.1) ? 2 + random.below(room - 1) : room
  let first = 0
  while (first < count) {
    const aStart = offsets[sentences[first]]
    let end = first + 1
    while (end < count && offsets[sentences[end - 1] + 1] - aStart < target) end++
    // A sentence that fills the target by itself still gets the chance of a B that follows.
    if (end === first + 1 && end < count) end++
    const chunk = end - first
    const surplus = tables.surplus
    if (chunk === 1 && surplus >= BALANCE_LIMIT) {
      addAlone(aStart, offsets[sentences[first] + 1] - aStart, options.maxSequenceTokens - 2, random, tables)
      first = end
      continue
    }
    const aEnd = chunk === 1 ? end : first + 1 + random.below(chunk - 1)
    const aLength = offsets[sentences[aEnd - 1] + 1] - aStart
    // The wish for "random" falls as random pairs pile up: the labels of any stretch of the corpus stay balanced.
    if (chunk === 1 || random.float() < 0.5 - surplus / (2 * BALANCE_REACH)) {
      const other = randomSegment(corpus, document, pairable, target - aLength, random)
      addPair(aStart, aLength, other.start, other.length, 1, room, random, tables)
      first = aEnd
    } else {
      const bStart = offsets[sentences[aEnd]]
      addPair(aStart, aLength, bStart, offsets[sentences[end - 1] + 1] - bStart, 0, room, random, tables)
      first = end
    }
  }
}

/** Sentences of another document from a random one on, until `target` tokens are reached or the document ends. */
function randomSegment(
  corpus: TokenCorpus,
  document: number,
  pairable: Int32Array,
  target: number,
  random: RandomStream,
): { start: number; length: number } {
  let other = document
  while (other === document) other = pairable[random.below(pairable.length)]
  const { documentOffsets, sentenceOffsets } = corpus
  const last = documentOffsets[other + 1]
  let sentence = documentOffsets[other] + random.below(last - documentOffsets[other])
  // Only empty sentences left there: begin at the document's start, which is known to hold tokens.
  if (sentenceOffsets[last] === sentenceOffsets[sentence]) sentence = documentOffsets[other]
  const start = sentenceOffsets[sentence]
  let length = 0
  while (sentence < last && (length < target || length === 0)) length = sentenceOffsets[++sentence] - start
  return { start, length }
}

function addAlone(start: number, length: number, room: number, random: RandomStream, tables: PlanTables): void {
  const cut = Math.max(0, length - room)
  const front = cut > 0 ? random.below(cut + 1) : 0
  tables.add(start + front, length - cut, 0, 0, NO_LABEL)
  tables.statistics.cutTokens += cut
}

/** `truncate_seq_pair`: while the pair is too long, its longer side loses a token at one of its ends. */
function addPair(
  aStart: number,
  aLength: number,
  bStart: number,
  bLength: number,
  label: 0 | 1,
  room: number,
  random: RandomStream,
  tables: PlanTables,
): void {
  tables.statistics.cutTokens += Math.max(0, aLength + bLength - room)
  while (aLength + bLength > room) {
    const front = random.uint32() & 1
    if (aLength > bLength) {
      aLength--
      aStart += front
    } else {
      bLength--
      bStart += front
    }
  }
  tables.add(aStart, aLength, bStart, bLength, label)
}
