/**
 * Tokenised examples end to end in a few arrays of shared memory, so that prefetch threads read them without a copy. A token takes
 * 2 bytes (4 with a vocabulary above 65,536), an example 21 more: the whole of MNLI's training set takes about 40 MB. A set must fit into memory.
 */
import { StrataError } from '../errors.js'
import type { EncodedText } from '../text/index.js'

/** N examples, T tokens. All arrays lie in shared memory. */
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
  /** Each file and its first example. */
  files: { file: string; firstExample: number }[]
  /** The rows' own identifiers; empty where they are not kept. */
  ids: string[]
}

const MOST_TOKENS = 2 ** 32 - 1

/** Collects examples; `finish` hands them over. */
export class ExampleStoreBuilder {
  readonly #narrow: boolean
  readonly #tokens: (Uint16Array | Int32Array)[] = []
  readonly #lengths: Uint32Array[] = []
  readonly #secondStarts: Uint32Array[] = []
  readonly #truncated: Uint8Array[] = []
  readonly #targets: number[] = []
  readonly #lines: number[] = []
  readonly #ids: string[] = []
  readonly #files: ExampleStore['files'] = []
  #tokenCount = 0
  #count = 0

  constructor(vocabSize: number) {
    this.#narrow = vocabSize <= 65536
  }

  /** Examples added from here on are of this file. */
  beginFile(file: string): void {
    this.#files.push({ file, firstExample: this.#count })
  }

  add(encoded: readonly EncodedText[], rows: { targets: number[]; lines: number[]; ids?: string[] }): void {
    const lengths = Uint32Array.from(encoded, ({ tokenIds }) => tokenIds.length)
    const total = lengths.reduce((sum, length) => sum + length, 0)
    this.#tokenCount += total
    this.#count += encoded.length
    if (this.#tokenCount > MOST_TOKENS) {
      throw new StrataError(
        'UNSUPPORTED',
        `a task's examples have more than ${MOST_TOKENS} tokens; use a share (fraction)`,
      )
    }
    const tokens = this.#narrow ? new Uint16Array(total) : new Int32Array(total)
    let offset = 0
    for (const { tokenIds } of encoded) {
      tokens.set(tokenIds, offset)
      offset += tokenIds.length
    }
    this.#tokens.push(tokens)
    this.#lengths.push(lengths)
    this.#secondStarts.push(
      Uint32Array.from(encoded, ({ segmentIds }) => {
        const start = segmentIds.indexOf(1)
        return start < 0 ? segmentIds.length : start
      }),
    )
    this.#truncated.push(Uint8Array.from(encoded, ({ truncated }) => (truncated ? 1 : 0)))
    for (const target of rows.targets) this.#targets.push(target)
    for (const line of rows.lines) this.#lines.push(line)
    for (const id of rows.ids ?? []) this.#ids.push(id)
  }

  finish(): ExampleStore {
    const count = this.#count
    const offsets = shared(Uint32Array, count + 1)
    let example = 0
    for (const lengths of this.#lengths) {
      for (const length of lengths) {
        offsets[example + 1] = offsets[example] + length
        example++
      }
    }
    return {
      tokenIds: this.#narrow
        ? joined(Uint16Array, this.#tokens, this.#tokenCount)
        : joined(Int32Array, this.#tokens, this.#tokenCount),
      offsets,
      secondStarts: joined(Uint32Array, this.#secondStarts, count),
      truncated: joined(Uint8Array, this.#truncated, count),
      targets: joined(Float64Array, [this.#targets], count),
      lines: joined(Uint32Array, [this.#lines], count),
      files: this.#files,
      ids: this.#ids,
    }
  }
}

interface ArrayType<A> {
  new (buffer: SharedArrayBuffer): A
  readonly BYTES_PER_ELEMENT: number
}

function shared<A>(type: ArrayType<A>, length: number): A {
  return new type(new SharedArrayBuffer(length * type.BYTES_PER_ELEMENT))
}

function joined<A extends { set(part: ArrayLike<number>, offset: number): void }>(
  type: ArrayType<A>,
  parts: ArrayLike<number>[],
  length: number,
): A {
  const whole = shared(type, length)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  // Parts are let go one list at a time, so that memory holds little more than one copy.
  parts.length = 0
  return whole
}
