/**
 * Tokenised examples end to end in a few arrays, which prefetch threads read without a copy: in shared memory, or in memory-mapped
 * files where the set is large (see example-builder.ts). A token takes 2 bytes (4 with a vocabulary above 65,536), an example 21 more:
 * the whole of MNLI's training set takes about 40 MB.
 */
import type { EncodedText } from '../text/index.js'

/** N examples, T tokens, I bytes of identifiers. */
export interface ExampleStore {
  /** Shape (T). */
  tokenIds: Uint16Array | Int32Array
  /** Shape (N + 1). */
  offsets: Uint32Array
  /** Where the second segment begins, counted from the example's start; its length when there is one segment. Shape (N). */
  secondStarts: Uint32Array
  /** Class, or target; NaN = none. Shape (N). */
  targets: Float64Array
  /** Line of its file, from 1. Shape (N). */
  lines: Uint32Array
  /** 1 where the longest sequence cut something off. Shape (N). */
  truncated: Uint8Array
  /** The rows' own identifiers in UTF-8, shape (I); empty where they are not kept. */
  ids: Uint8Array
  /** Shape (N + 1). */
  idOffsets: Uint32Array
  /** What predictions are told by, a ranking's candidates, in UTF-8; empty where no texts are kept. */
  texts: Uint8Array
  /** Shape (N + 1), or (1) where no texts are kept. */
  textOffsets: Uint32Array
  /** Each file and its first example. */
  files: { file: string; firstExample: number }[]
  /** Folder of the files that the arrays are mapped from; undefined in shared memory. */
  directory?: string
}

/** Names of the arrays. */
export type ExampleArray = Exclude<keyof ExampleStore, 'files' | 'directory'>

export type ExampleArrays = Pick<ExampleStore, ExampleArray>

/** Arrays of some examples; the offsets count from the block's own start and lack their leading 0. */
export type ExampleBlock = ExampleArrays

/** What is known of rows beside their texts. */
export interface RowFacts {
  targets: number[]
  lines: number[]
  /** Left out where they are not kept. */
  ids?: string[]
  texts?: string[]
}

/** Packs encoded rows. */
export function exampleBlock(encoded: readonly EncodedText[], rows: RowFacts, narrow: boolean): ExampleBlock {
  const offsets = endsOf(encoded, ({ tokenIds }) => tokenIds.length)
  const total = offsets.at(-1) ?? 0
  const tokenIds = narrow ? new Uint16Array(total) : new Int32Array(total)
  encoded.forEach((one, index) => {
    tokenIds.set(one.tokenIds, offsets[index] - one.tokenIds.length)
  })
  const ids = (rows.ids ?? []).map((id) => Buffer.from(id))
  const texts = (rows.texts ?? []).map((text) => Buffer.from(text))
  return {
    tokenIds,
    offsets,
    secondStarts: Uint32Array.from(encoded, ({ segmentIds }) => {
      const start = segmentIds.indexOf(1)
      return start < 0 ? segmentIds.length : start
    }),
    truncated: Uint8Array.from(encoded, ({ truncated }) => (truncated ? 1 : 0)),
    targets: Float64Array.from(rows.targets),
    lines: Uint32Array.from(rows.lines),
    ids: Buffer.concat(ids),
    idOffsets: rows.ids ? endsOf(ids, ({ length }) => length) : new Uint32Array(encoded.length),
    texts: Buffer.concat(texts),
    textOffsets: endsOf(texts, ({ length }) => length),
  }
}

function endsOf<T>(items: readonly T[], lengthOf: (item: T) => number): Uint32Array {
  let end = 0
  return Uint32Array.from(items, (item) => {
    end += lengthOf(item)
    return end
  })
}

/** Bytes of a block's arrays. */
export function blockBytes(block: ExampleBlock): number {
  return Object.values(block).reduce((sum: number, array: ArrayBufferView) => sum + array.byteLength, 0)
}

/** Blocks end to end in shared memory. They are let go one by one, so that memory holds little more than one copy. */
export function joinBlocks(blocks: ExampleBlock[], narrow: boolean): ExampleArrays {
  const count = sum(blocks, ({ lines }) => lines.length)
  const tokens = sum(blocks, ({ tokenIds }) => tokenIds.length)
  const store: ExampleArrays = {
    tokenIds: narrow ? shared(Uint16Array, tokens) : shared(Int32Array, tokens),
    offsets: shared(Uint32Array, count + 1),
    secondStarts: shared(Uint32Array, count),
    truncated: shared(Uint8Array, count),
    targets: shared(Float64Array, count),
    lines: shared(Uint32Array, count),
    ids: shared(
      Uint8Array,
      sum(blocks, ({ ids }) => ids.length),
    ),
    idOffsets: shared(Uint32Array, count + 1),
    texts: shared(
      Uint8Array,
      sum(blocks, ({ texts }) => texts.length),
    ),
    textOffsets: shared(Uint32Array, sum(blocks, ({ textOffsets }) => textOffsets.length) + 1),
  }
  let [example, token, id, text] = [0, 0, 0, 0]
  blocks.reverse()
  for (let block = blocks.pop(); block; block = blocks.pop()) {
    store.tokenIds.set(block.tokenIds, token)
    store.ids.set(block.ids, id)
    store.offsets.set(shifted(block.offsets, token), example + 1)
    store.idOffsets.set(shifted(block.idOffsets, id), example + 1)
    store.texts.set(block.texts, text)
    if (block.textOffsets.length > 0) store.textOffsets.set(shifted(block.textOffsets, text), example + 1)
    for (const name of ['secondStarts', 'truncated', 'targets', 'lines'] as const) store[name].set(block[name], example)
    token += block.tokenIds.length
    id += block.ids.length
    text += block.texts.length
    example += block.lines.length
  }
  return store
}

/** Ends that count from a later start. */
export function shifted(ends: Uint32Array, start: number): Uint32Array {
  return ends.map((end) => end + start)
}

function sum<T>(items: readonly T[], sizeOf: (item: T) => number): number {
  return items.reduce((total, item) => total + sizeOf(item), 0)
}

/** An array that threads read without a copy. */
export function shared<A>(type: { new (buffer: SharedArrayBuffer): A; BYTES_PER_ELEMENT: number }, length: number): A {
  return new type(new SharedArrayBuffer(length * type.BYTES_PER_ELEMENT))
}

/** A row's own identifier, where it has one. */
export function exampleId({ ids, idOffsets }: ExampleStore, row: number): string | undefined {
  const bytes = ids.slice(idOffsets[row], idOffsets[row + 1])
  return bytes.length === 0 ? undefined : Buffer.from(bytes).toString()
}

/** A row's text; empty where none is kept. */
export function exampleText({ texts, textOffsets }: ExampleStore, row: number): string {
  return Buffer.from(texts.slice(textOffsets[row], textOffsets[row + 1])).toString()
}
