/** Chunks of sentences as the columns of a corpus: by word pieces, in sentences of bounded length. */
import { CHUNK_KINDS, chunksOfPieces, cutAtChunks, UNKNOWN_TARGET, wordsOfPieces } from '../text/index.js'
import type { CorpusSentence } from './corpus-sentences.js'
import { NO_LABEL } from './packed-batch.js'

/** Some sentences with T tokens and C chunks; R relations. */
export interface ChunkColumns {
  /** Chunk of each token, counted within its sentence; -1 = of none. Shape (T). */
  ids: Int32Array
  /** Chunks of each sentence. */
  counts: number[]
  /** Index into CHUNK_KINDS, shape (C). */
  kinds: Uint8Array
  /** Chunk of the same sentence that each attaches to; -1 = none, NO_LABEL = not known. Shape (C, R) row-major. */
  targets: Int32Array
}

/** Where the pieces of the sentences stand in their texts. */
interface SentencePieces {
  starts: Int32Array
  ends: Int32Array
}

/** A treebank's labels are some dozens; what has more is none, and is not remembered whole. */
const MOST_LABELS = 200

/** What was met on the way. */
export interface ChunkFacts {
  /** Sentences that were longer, those that came without a parse, and those of which words that relations need have no head. */
  cutSentences: number
  unparsedSentences: number
  partlyParsedSentences: number
  /** How often each label of the parses came; of the first {@link MOST_LABELS}. */
  parseLabels: Record<string, number>
}

/** Gathers sentence after sentence. */
export class ChunkColumnsBuilder {
  readonly #relations: number
  readonly #longest: number
  #ids: number[] = []
  #counts: number[] = []
  #kinds: number[] = []
  #targets: number[] = []
  #cutSentences = 0
  #unparsedSentences = 0
  #partlyParsedSentences = 0
  #labels = new Map<string, number>()

  constructor(relations: number, longestSentence: number) {
    this.#relations = relations
    this.#longest = longestSentence
  }

  /** Of all that was added. */
  get facts(): ChunkFacts {
    return {
      cutSentences: this.#cutSentences,
      unparsedSentences: this.#unparsedSentences,
      partlyParsedSentences: this.#partlyParsedSentences,
      parseLabels: Object.fromEntries(this.#labels),
    }
  }

  /** Begins with what another build has added. */
  restore({
    cutSentences = 0,
    unparsedSentences = 0,
    partlyParsedSentences = 0,
    parseLabels = {},
  }: Partial<ChunkFacts>) {
    this.#cutSentences = cutSentences
    this.#unparsedSentences = unparsedSentences
    this.#partlyParsedSentences = partlyParsedSentences
    this.#labels = new Map(Object.entries(parseLabels))
  }

  /** Adds a sentence with its pieces; returns the tokens of the sentences that it became. */
  add({ chunked }: CorpusSentence, pieces: SentencePieces): number[] {
    const ids = chunksOfPieces(wordsOfPieces(pieces, chunked!), chunked!.chunkOfWord)
    const ends = cutAtChunks(ids, this.#longest)
    if (ends.length > 1) this.#cutSentences++
    if (!chunked!.parsed) this.#unparsedSentences++
    else if (chunked!.targets.includes(UNKNOWN_TARGET)) this.#partlyParsedSentences++
    for (const label of chunked!.labels) {
      const count = this.#labels.get(label)
      if (count !== undefined || this.#labels.size < MOST_LABELS) this.#labels.set(label, (count ?? 0) + 1)
    }
    ends.forEach((end, part) => {
      this.#addPart(ids.subarray(ends[part - 1] ?? 0, end), chunked!)
    })
    return ends.map((end, part) => end - (ends[part - 1] ?? 0))
  }

  /** What was added since the last call. */
  take(): ChunkColumns {
    const columns = {
      ids: Int32Array.from(this.#ids),
      counts: this.#counts,
      kinds: Uint8Array.from(this.#kinds),
      targets: Int32Array.from(this.#targets),
    }
    this.#ids = []
    this.#counts = []
    this.#kinds = []
    this.#targets = []
    return columns
  }

  /** Chunks are numbered anew: normalising may have left nothing of one, and others stand in another part. */
  #addPart(ids: Int32Array, { chunks, targets, parsed }: NonNullable<CorpusSentence['chunked']>): void {
    const numbers = new Map<number, number>()
    for (const id of ids) {
      if (id >= 0 && !numbers.has(id)) numbers.set(id, numbers.size)
      this.#ids.push(id < 0 ? -1 : numbers.get(id)!)
    }
    this.#counts.push(numbers.size)
    for (const id of numbers.keys()) {
      this.#kinds.push(CHUNK_KINDS.indexOf(chunks[id].kind))
      for (let relation = 0; relation < this.#relations; relation++) {
        const head = parsed ? targets[relation * chunks.length + id] : UNKNOWN_TARGET
        this.#targets.push(head === UNKNOWN_TARGET ? NO_LABEL : head < 0 ? head : (numbers.get(head) ?? NO_LABEL))
      }
    }
  }
}
