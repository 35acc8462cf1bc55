/** Rows on their way through the tokenizer. */
import type { EncodeInput, Tokenizer } from '../text/index.js'
import type { ExampleBuilder } from './example-builder.js'

/** Rows, and characters of their texts, that go to the tokenizer's thread together. */
const ROWS_PER_REQUEST = 2048
const CHARACTERS_PER_REQUEST = 4 * 1024 * 1024

export interface QueuedRow {
  line: number
  /** One text or a pair. */
  texts: readonly string[]
  /** Undefined = none. */
  label: number | undefined
  id?: string
  /** A text that the store keeps; all rows have one or none has. */
  kept?: string
}

/** Sends rows to the tokenizer's thread in blocks, one under way while the next is read. */
export class EncodingQueue {
  readonly #builder: ExampleBuilder
  readonly #tokenizer: Tokenizer
  readonly #maxTokens: number
  readonly #keepIds: boolean
  #rows: QueuedRow[] = []
  #characters = 0
  #running: Promise<void> = Promise.resolve()

  constructor(builder: ExampleBuilder, tokenizer: Tokenizer, maxTokens: number, keepIds = false) {
    this.#builder = builder
    this.#tokenizer = tokenizer
    this.#maxTokens = maxTokens
    this.#keepIds = keepIds
  }

  async add(row: QueuedRow): Promise<void> {
    this.#rows.push(row)
    for (const text of row.texts) this.#characters += text.length
    if (this.#rows.length === ROWS_PER_REQUEST || this.#characters >= CHARACTERS_PER_REQUEST) await this.#send()
  }

  async flush(): Promise<void> {
    await this.#send()
    await this.#running
  }

  async #send(): Promise<void> {
    const rows = this.#rows
    this.#rows = []
    this.#characters = 0
    await this.#running
    if (rows.length === 0) return
    this.#running = this.#encode(rows)
    // Whoever waits next is told of a failure.
    this.#running.catch(() => {})
  }

  async #encode(rows: QueuedRow[]): Promise<void> {
    const inputs: EncodeInput[] = rows.map(({ texts }) => (texts.length === 2 ? [texts[0], texts[1]] : texts[0]))
    const encoded = await this.#tokenizer.encodeBatch(inputs, { maxTokens: this.#maxTokens })
    this.#builder.add(encoded, {
      targets: rows.map(({ label }) => label ?? Number.NaN),
      lines: rows.map(({ line }) => line),
      ids: this.#keepIds ? rows.map(({ id }) => id ?? '') : undefined,
      texts: rows[0].kept === undefined ? undefined : rows.map(({ kept }) => kept ?? ''),
    })
  }
}
