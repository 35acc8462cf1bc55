/**
 * Where each attention head looks (Clark et al. 2019, "What does BERT look at?", arXiv 1906.04341): its mean entropy (§3.3) and its
 * attention to [CLS] and [SEP] (§3.2), where heads rest that find nothing to do. The mean distance in tokens is that of Vig & Belinkov
 * (2019, arXiv 1906.04284), here to both sides.
 */
import type { AttentionSums } from '../../model/index.js'
import { type ReadingOptions, readBatches, type SentenceReader } from './sentence-reader.js'

/** Means over all tokens as queries, [CLS] and [SEP] among them. */
export interface AttentionMeans {
  /** Σ_j p_ij |i − j|, in tokens. */
  distance: number
  /** −Σ_j p_ij log p_ij, in nats. */
  entropy: number
  /** Share of the attention that goes to the sequence's first token, [CLS]. */
  first: number
  /** Share that goes to [SEP]. */
  separators: number
}

export interface HeadAttention extends AttentionMeans {
  /** Block, from 1. */
  layer: number
  /** From 1. */
  head: number
}

export interface AttentionReading {
  /** Block by block. */
  heads: HeadAttention[]
  /** Of a head that gives every token of the sequence the same share. */
  uniform: AttentionMeans
  tokens: number
}

const MEANS = ['distance', 'entropy', 'first', 'separators'] as const satisfies (keyof AttentionSums)[]

/** Reads all sentences without dropout. */
export async function attentionByHead(reader: SentenceReader, options: ReadingOptions = {}): Promise<AttentionReading> {
  const { layers, heads } = reader.model.config.encoder
  const separator = reader.tokenizer.specialTokens.sepId
  const sums = Object.fromEntries(MEANS.map((name) => [name, new Float64Array(layers * heads)]))
  const uniform: AttentionMeans = { distance: 0, entropy: 0, first: 0, separators: 0 }
  let tokens = 0
  for await (const [batch] of readBatches([reader], options)) {
    const part = await reader.model.attentionStatistics(batch, { separator })
    for (const name of MEANS) for (let i = 0; i < layers * heads; i++) sums[name][i] += part[name][i]
    tokens += part.queries
  }
  for (const { tokenIds } of reader.sentences) {
    const length = tokenIds.length
    // Sums over the sequence's queries; the mean of |i − j| over all pairs is (S² − 1) / 3S.
    uniform.distance += (length ** 2 - 1) / 3
    uniform.entropy += length * Math.log(length)
    uniform.first += 1
    uniform.separators += tokenIds.reduce((count, id) => count + (id === separator ? 1 : 0), 0)
  }
  const meansOf = (of: (name: (typeof MEANS)[number]) => number) =>
    Object.fromEntries(MEANS.map((name) => [name, of(name) / tokens])) as unknown as AttentionMeans
  return {
    heads: Array.from({ length: layers * heads }, (_, index) => ({
      layer: Math.floor(index / heads) + 1,
      head: (index % heads) + 1,
      ...meansOf((name) => sums[name][index]),
    })),
    uniform: meansOf((name) => uniform[name]),
    tokens,
  }
}
