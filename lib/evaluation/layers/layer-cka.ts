import { GramSums, type StateBlock } from '../../model/index.js'
import { CkaShape } from './cka-shape.js'

/**
 * Linear CKA of each of some layers with each of others, by blocks of rows: `add` what one batch gives, then read `values()`. Products are
 * summed natively, beside the event loop: Σ width × width doubles over all pairs, of 13 layers of 768 with each other 430 MB. Dispose it.
 */
export class LayerCka implements AsyncDisposable {
  readonly #shape: CkaShape
  readonly #sums: GramSums
  #rows = 0

  private constructor(shape: CkaShape, sums: GramSums) {
    this.#shape = shape
    this.#sums = sums
  }

  /** `right` left out: the layers with themselves. BAD_ARGUMENT for no layer or a width that is no whole number above 0. */
  static async open(left: readonly number[], right?: readonly number[]): Promise<LayerCka> {
    const shape = new CkaShape(left, right)
    return new LayerCka(shape, await GramSums.open(shape.widths, shape.pairs))
  }

  /** Rows added so far. */
  get rows(): number {
    return this.#rows
  }

  /**
   * Adds a block of rows: one array a layer, row r of all of them for the same token or sentence. BAD_DATA when their numbers of rows
   * differ, a length is no multiple of its width, or layers are missing; the table is then as before.
   */
  async add(left: readonly StateBlock[], right?: readonly StateBlock[]): Promise<void> {
    const { blocks, rows } = this.#shape.checked(left, right)
    await this.#sums.add(blocks, rows)
    this.#rows += rows
  }

  /** As {@link CkaShape.values}. */
  async values(): Promise<number[][]> {
    return this.#shape.values(await this.#sums.squares())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sums[Symbol.asyncDispose]()
  }
}
