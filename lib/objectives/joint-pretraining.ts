/**
 * The joint pre-training task: one packed batch that masked LM, next-sentence prediction and bigram shift share, so that one
 * forward pass serves all heads. Order of corruption: words are swapped first, then tokens are masked; masked-LM targets are the
 * tokens that stand there after the swap.
 */
import type { PackedBatch } from '../data/packed-batch.js'
import { NO_LABEL } from '../data/packed-batch.js'
import { buildPairPlan, type InputKind, inputTokens, type PairPlan, type PlanStatistics } from '../data/pair-plan.js'
import { stream } from '../data/random.js'
import type { DescribedSource, SourceDescription } from '../data/source-description.js'
import type { SpecialTokens, TokenCorpus } from '../data/token-corpus.js'
import { StrataError } from '../errors.js'
import { BigramShift, type BigramShiftOptions, swappedTokenLabels } from './bigram-shift.js'
import { type CorpusDescription, corpusFromDescription, describeCorpus } from './corpus-description.js'
import { type BatchDraft, type DraftScratch, newDraft, sentenceSpans } from './draft.js'
import { MaskedLm, type MaskedLmOptions } from './masked-lm.js'
import { specialTable } from './special-table.js'

/** Which heads get labels; at least one. Names are the model's head names. */
export interface PretrainingHeads {
  mlm?: MaskedLmOptions & { name: string }
  nsp?: { name: string }
  /** One or both levels; both read the same swaps. */
  bshift?: BigramShiftOptions & { sentenceHead?: string; tokenHead?: string }
}

/** A corpus, the heads that get labels, and the size of batches. */
export interface PretrainingOptions {
  corpus: TokenCorpus
  /** Documents that take part (indices into the corpus); default all. */
  documents?: Int32Array
  special: SpecialTokens
  heads: PretrainingHeads
  /** The vocabulary by id; only needed for bigram shift with a cased vocabulary, where forms are compared case-folded. */
  pieces?: readonly string[]
  /** Most tokens a batch. */
  batchTokens: number
  /** Longest input in tokens, special tokens included; default 128. */
  maxSequenceTokens?: number
  seed: number
  /** Held-out data: every epoch gives the same batches, in the order of the documents. Default false. */
  evaluation?: boolean
  /** Default `pairs` with a next-sentence head, else `segments`. */
  input?: InputKind
  /** Share of documents with a short target length; default 0.1. Pairs only. */
  shortShare?: number
}

/** Batches for the heads of a joint task; a pure function of (options, epoch, index). */
export interface PretrainingSource extends DescribedSource {
  /** Names of the heads that get labels. */
  readonly heads: string[]
  /** What the inputs of an epoch are made of. */
  statistics(epoch: number): PlanStatistics
}

/** How many epochs' plans are kept: the current one and the one that prefetching has reached. */
const PLANS_KEPT = 2

/**
 * Makes the source of a joint task. Throws BAD_ARGUMENT on options that do not fit each other; the first batch or count of an
 * epoch throws BAD_DATA when the documents give no input.
 *
 * @example
 * const source = pretrainingSource({
 *   corpus, special, heads: { mlm: { name: 'mlm' }, nsp: { name: 'nsp' } }, batchTokens: 2048, seed: 1,
 * })
 * const batch = source.build(0, 0)
 */
export function pretrainingSource(options: PretrainingOptions): PretrainingSource {
  return new JointSource(options)
}

type SentOptions = Omit<PretrainingOptions, 'corpus'> & { corpus: CorpusDescription }

/** Rebuilds a source from its description; called in prefetch workers. */
export function createSource(options: unknown): PretrainingSource {
  const sent = options as SentOptions
  return new JointSource({ ...sent, corpus: corpusFromDescription(sent.corpus) })
}

class JointSource implements PretrainingSource {
  readonly heads: string[]
  readonly #options: PretrainingOptions
  readonly #input: InputKind
  readonly #maskedLm: MaskedLm | undefined
  readonly #bigramShift: BigramShift | undefined
  readonly #plans = new Map<number, PairPlan>()
  readonly #scratch: DraftScratch = { bytes: new Uint8Array(0) }

  constructor(options: PretrainingOptions) {
    const { heads, special, pieces } = options
    this.#options = options
    this.heads = headNames(heads)
    specialTable(special)
    this.#input = options.input ?? (heads.nsp ? 'pairs' : 'segments')
    if (heads.nsp && this.#input !== 'pairs') {
      throw new StrataError(
        'BAD_ARGUMENT',
        `input '${this.#input}' has no second segment, which head ${heads.nsp.name} needs; use input 'pairs'`,
      )
    }
    if (pieces && pieces.length !== special.vocabSize) {
      throw new StrataError('BAD_ARGUMENT', `pieces has ${pieces.length} entries, ${special.vocabSize} were expected`)
    }
    this.#maskedLm = heads.mlm && new MaskedLm(heads.mlm, special)
    this.#bigramShift = heads.bshift && new BigramShift(heads.bshift, pieces)
  }

  batchCount(epoch: number): number {
    return this.#plan(epoch).batchCount
  }

  statistics(epoch: number): PlanStatistics {
    return { ...this.#plan(epoch).statistics }
  }

  build(epoch: number, index: number): PackedBatch {
    const plan = this.#plan(epoch)
    if (!(Number.isInteger(index) && index >= 0 && index < plan.batchCount)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `batch ${index} of epoch ${epoch}: an index from 0 to ${plan.batchCount - 1} was expected`,
      )
    }
    const inputs = plan.order.subarray(plan.batchStarts[index], plan.batchStarts[index + 1])
    const sequenceOffsets = new Int32Array(inputs.length + 1)
    inputs.forEach((input, i) => {
      sequenceOffsets[i + 1] = sequenceOffsets[i] + inputTokens(plan.aLength[input], plan.bLength[input])
    })
    const draft = newDraft(sequenceOffsets[inputs.length], this.#scratch)
    const { seed, evaluation } = this.#options
    const purpose = evaluation ? 'evaluation' : 'training'
    // Streams of their own, named by the input: a head that is switched off, or another batch size, changes no other draw.
    const shifts = stream(seed, 'bigram-shift', purpose, this.#planEpoch(epoch))
    const masks = stream(seed, 'masked-lm', purpose, this.#planEpoch(epoch))
    inputs.forEach((input, i) => {
      this.#layOut(draft, plan, input, sequenceOffsets[i])
    })
    inputs.forEach((input, i) => {
      const start = sequenceOffsets[i]
      if (this.#bigramShift) this.#shift(draft, plan, input, start, shifts.child(input))
      this.#maskedLm?.apply(draft, start, sequenceOffsets[i + 1], masks.child(input))
    })
    const labels = this.#labels(draft, plan, inputs)
    return { tokenIds: draft.tokenIds, segmentIds: draft.segmentIds, sequenceOffsets, labels }
  }

  describe(): SourceDescription {
    const options: SentOptions = { ...this.#options, corpus: describeCorpus(this.#options.corpus) }
    return { module: __filename, options }
  }

  #planEpoch(epoch: number): number {
    return this.#options.evaluation ? 0 : epoch
  }

  #plan(epoch: number): PairPlan {
    const planEpoch = this.#planEpoch(epoch)
    let plan = this.#plans.get(planEpoch)
    if (!plan) {
      const { corpus, documents, maxSequenceTokens = 128, batchTokens, seed, shortShare, evaluation } = this.#options
      plan = buildPairPlan(corpus, {
        documents,
        input: this.#input,
        maxSequenceTokens,
        batchTokens,
        seed,
        epoch: planEpoch,
        shortShare,
        shuffle: !evaluation,
      })
      if (this.#plans.size === PLANS_KEPT) this.#plans.delete(this.#plans.keys().next().value!)
      this.#plans.set(planEpoch, plan)
    }
    return plan
  }

  /** Writes `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]` at `start`. */
  #layOut(draft: BatchDraft, plan: PairPlan, input: number, start: number): void {
    const { clsId, sepId } = this.#options.special
    const aLength = plan.aLength[input]
    const bLength = plan.bLength[input]
    this.#addSpecial(draft, start, clsId)
    this.#copy(draft, plan.aStart[input], aLength, start + 1)
    this.#addSpecial(draft, start + 1 + aLength, sepId)
    if (bLength === 0) return
    const bDraftStart = start + aLength + 2
    this.#copy(draft, plan.bStart[input], bLength, bDraftStart)
    this.#addSpecial(draft, bDraftStart + bLength, sepId)
    draft.segmentIds.fill(1, bDraftStart, bDraftStart + bLength + 1)
  }

  #addSpecial(draft: BatchDraft, position: number, id: number): void {
    draft.tokenIds[position] = id
    draft.added[position] = 1
    draft.protectedFromMask[position] = 1
  }

  #copy(draft: BatchDraft, from: number, length: number, to: number): void {
    const { corpus, special } = this.#options
    for (let i = 0; i < length; i++) {
      const id = corpus.tokenIds[from + i]
      if (id < 0 || id >= special.vocabSize) {
        throw new StrataError(
          'BAD_DATA',
          `token ${from + i} of the corpus has id ${id}, the vocabulary has ${special.vocabSize}; prepare the corpus with this tokenizer`,
        )
      }
      draft.tokenIds[to + i] = id
      draft.flags[to + i] = corpus.tokenFlags[from + i]
    }
  }

  #shift(draft: BatchDraft, plan: PairPlan, input: number, start: number, random: ReturnType<typeof stream>): void {
    const { corpus } = this.#options
    const aLength = plan.aLength[input]
    const spans = sentenceSpans(corpus, plan.aStart[input], aLength, start + 1)
    const bLength = plan.bLength[input]
    if (bLength > 0) spans.push(...sentenceSpans(corpus, plan.bStart[input], bLength, start + aLength + 2))
    for (const span of spans) this.#bigramShift!.apply(draft, span, random)
  }

  #labels(draft: BatchDraft, plan: PairPlan, inputs: Uint32Array): PackedBatch['labels'] {
    const { mlm, nsp, bshift } = this.#options.heads
    const labels: PackedBatch['labels'] = {}
    const masked = this.#maskedLm?.takeLabels()
    if (masked) labels[mlm!.name] = masked
    if (nsp) {
      const follows = Int32Array.from(inputs, (input) => plan.labels[input])
      if (follows.some((label) => label !== NO_LABEL)) labels[nsp.name] = { labels: follows }
    }
    const shifted = this.#bigramShift?.takeSentenceLabels()
    if (shifted && bshift?.sentenceHead) labels[bshift.sentenceHead] = shifted
    if (bshift?.tokenHead) {
      const tokens = swappedTokenLabels(draft, bshift.labelMaskedTokens)
      if (tokens) labels[bshift.tokenHead] = tokens
    }
    return labels
  }
}

function headNames({ mlm, nsp, bshift }: PretrainingHeads): string[] {
  if (bshift && !bshift.sentenceHead && !bshift.tokenHead) {
    throw new StrataError('BAD_ARGUMENT', 'bshift names no head; give sentenceHead, tokenHead or both')
  }
  const names = [mlm?.name, nsp?.name, bshift?.sentenceHead, bshift?.tokenHead].filter((name) => name !== undefined)
  if (names.length === 0)
    throw new StrataError('BAD_ARGUMENT', 'no head is given; name at least one of mlm, nsp, bshift')
  const repeated = names.find((name, i) => names.indexOf(name) !== i)
  if (repeated !== undefined)
    throw new StrataError('BAD_ARGUMENT', `two heads have the name ${repeated}; names must differ`)
  return names
}
