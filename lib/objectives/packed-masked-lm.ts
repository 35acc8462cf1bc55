/**
 * Masked LM over packed text: every input is a sequence of exactly L tokens, cut from documents that stand in a row with a [SEP] behind
 * each, without padding and without [CLS] (Cramming: Geiping & Goldstein 2022, arXiv 2212.14034, section 4.4 and its code's
 * pretraining_preparation.py). As there, one input may hold parts of several documents and attention sees all of them.
 *
 * Deliberate differences, each an option: the text is cut over the whole corpus, not over groups of 1,024 documents, so that one
 * remainder is lost and not one a group; the last batch of an epoch may be shorter and is kept; a masked token's random replacement is
 * never a special token; in a shuffle every epoch has its own order.
 *
 * With `agreements` the batches carry the corpus's chunks and labels between them as well; the text is corrupted before.
 */
import type { PackedBatch } from '../data/packed-batch.js'
import { PackedPlan } from '../data/packed-plan.js'
import type { PlanStatistics } from '../data/plan-tables.js'
import { stream } from '../data/random.js'
import type { SequenceOrder } from '../data/sequence-order.js'
import type { SourceDescription } from '../data/source-description.js'
import type { SpecialTokens, TokenCorpus } from '../data/token-corpus.js'
import { StrataError } from '../errors.js'
import { type AgreementHeads, AgreementLabels } from './agreement.js'
import { type CorpusDescription, corpusFromDescription, describeCorpus } from './corpus-description.js'
import { type BatchDraft, type DraftScratch, newDraft } from './draft.js'
import type { PretrainingSource } from './joint-pretraining.js'
import { MaskedLm, type MaskedLmOptions } from './masked-lm.js'

export interface PackedMaskedLmOptions {
  corpus: TokenCorpus
  /** Documents that take part (indices into the corpus); default all. */
  documents?: Int32Array
  special: SpecialTokens
  /** How tokens are masked, and the head that gets the labels; without a name none does. */
  mlm: MaskedLmOptions & { name?: string }
  /** Adds the corpus's chunks to every batch, and these heads' labels (none for `{}`). */
  agreements?: AgreementHeads
  /**
   * Share of the batches without labels of `agreements` that come without chunks, too, so that the model makes them from the corrupted
   * tokens; default 0. Held-out batches always have the corpus's.
   */
  plainShare?: number
  /** Most tokens a batch; as many whole sequences as fit. */
  batchTokens: number
  /** Tokens of every input; default 128. */
  sequenceTokens?: number
  /** Default `shuffle`; held-out data come in the order of the text. */
  order?: SequenceOrder
  /** Id of the token "."; needed by the order `sentence-length`. */
  fullStopId?: number
  seed: number
  /** Held-out data: every epoch gives the same batches, in the order of the documents. Default false. */
  evaluation?: boolean
}

/**
 * Makes the source; batch k of an epoch is a pure function of (options, epoch, k). Throws BAD_ARGUMENT on options that do not fit each
 * other, BAD_DATA when the text does not fill one sequence.
 *
 * @example
 * const mlm = { name: 'mlm', maskShare: 0.25, exact: true, exactSplit: true, includeSpecial: true }
 * const source = packedMaskedLmSource({ corpus, special, mlm, batchTokens: 16_384, seed: 1 })
 */
export function packedMaskedLmSource(options: PackedMaskedLmOptions): PretrainingSource {
  return new PackedSource(options)
}

type SentOptions = Omit<PackedMaskedLmOptions, 'corpus'> & { corpus: CorpusDescription }

/** Rebuilds a source from its description; called in prefetch workers. */
export function createSource(options: unknown): PretrainingSource {
  const sent = options as SentOptions
  return new PackedSource({ ...sent, corpus: corpusFromDescription(sent.corpus) })
}

class PackedSource implements PretrainingSource {
  readonly heads: string[]
  readonly #options: PackedMaskedLmOptions
  readonly #sequenceTokens: number
  readonly #maskedLm: MaskedLm
  readonly #agreements?: AgreementLabels
  readonly #plan: PackedPlan
  readonly #scratch: DraftScratch = { bytes: new Uint8Array(0) }

  constructor(options: PackedMaskedLmOptions) {
    const { corpus, documents, special, mlm, batchTokens, evaluation, fullStopId, seed } = options
    this.#options = options
    this.heads = [...(mlm.name === undefined ? [] : [mlm.name]), ...Object.keys(options.agreements ?? {})]
    this.#maskedLm = new MaskedLm(mlm, special)
    if (options.agreements) this.#agreements = new AgreementLabels(corpus, options.agreements)
    this.#sequenceTokens = options.sequenceTokens ?? 128
    const order = evaluation ? 'text' : options.order
    this.#plan = new PackedPlan(corpus, {
      documents,
      sequenceTokens: this.#sequenceTokens,
      batchTokens,
      separatorId: special.sepId,
      vocabSize: special.vocabSize,
      order,
      fullStopId,
      seed,
    })
  }

  batchCount(_epoch: number): number {
    return this.#plan.batchCount
  }

  statistics(_epoch: number): PlanStatistics {
    return { ...this.#plan.statistics }
  }

  build(epoch: number, index: number): PackedBatch {
    const { batchCount } = this.#plan
    if (!(Number.isInteger(index) && index >= 0 && index < batchCount)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `batch ${index} of epoch ${epoch}: an index from 0 to ${batchCount - 1} was expected`,
      )
    }
    const { seed, evaluation, mlm } = this.#options
    const planEpoch = evaluation ? 0 : epoch
    const sequences = this.#plan.batch(planEpoch, index)
    const length = this.#sequenceTokens
    const draft = newDraft(sequences.length * length, this.#scratch)
    this.#agreements?.begin(draft.tokenIds.length)
    // Named by the sequence: another batch size changes no draw.
    const masks = stream(seed, 'masked-lm', evaluation ? 'evaluation' : 'training', planEpoch)
    sequences.forEach((sequence, i) => {
      this.#layOut(draft, sequence, i * length)
    })
    sequences.forEach((sequence, i) => {
      this.#maskedLm.apply(draft, i * length, (i + 1) * length, masks.child(sequence))
    })
    const sequenceOffsets = Int32Array.from({ length: sequences.length + 1 }, (_, i) => i * length)
    const masked = this.#maskedLm.takeLabels()
    return {
      tokenIds: draft.tokenIds,
      segmentIds: draft.segmentIds,
      sequenceOffsets,
      labels: { ...(masked && mlm.name !== undefined && { [mlm.name]: masked }), ...this.#agreements?.labels() },
      ...(this.#agreements && !this.#isPlain(planEpoch, index) && { chunks: this.#agreements.chunks() }),
    }
  }

  #isPlain(epoch: number, index: number): boolean {
    const { seed, evaluation, agreements = {}, plainShare = 0 } = this.#options
    if (evaluation || plainShare === 0 || Object.keys(agreements).length > 0) return false
    return stream(seed, 'plain-chunks', epoch).child(index).float() < plainShare
  }

  describe(): SourceDescription {
    const options: SentOptions = { ...this.#options, corpus: describeCorpus(this.#options.corpus) }
    return { module: __filename, options }
  }

  #layOut(draft: BatchDraft, sequence: number, start: number): void {
    const { corpus, special } = this.#options
    let at = start
    for (const { from, length } of this.#plan.fragments(sequence)) {
      if (from < 0) {
        draft.tokenIds[at] = special.sepId
        draft.added[at] = 1
        draft.protectedFromMask[at] = 1
      } else {
        draft.tokenIds.set(corpus.tokenIds.subarray(from, from + length), at)
        draft.flags.set(corpus.tokenFlags.subarray(from, from + length), at)
        for (let i = at; i < at + length; i++) this.#check(draft.tokenIds[i], from + i - at)
        this.#agreements?.add(from, length, at)
      }
      at += length
    }
  }

  #check(id: number, place: number): void {
    const { vocabSize } = this.#options.special
    if (id >= 0 && id < vocabSize) return
    throw new StrataError(
      'BAD_DATA',
      `token ${place} of the corpus has id ${id}, the vocabulary has ${vocabSize}; prepare the corpus with this tokenizer`,
    )
  }
}
