/** A CKA table whose products are summed natively, beside the event loop: see ../cka.ts. */
import { GramSums, type StateBlock } from '../../model/index.js'
import { CkaShape } from '../cka.js'

/** As {@link CkaTable}, for many wide layers: 13 of 768 hold 430 MB. Dispose it. */
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

  /** As {@link CkaTable.add}. */
  async add(left: readonly StateBlock[], right?: readonly StateBlock[]): Promise<void> {
    const { blocks, rows } = this.#shape.checked(left, right)
    await this.#sums.add(blocks, rows)
    this.#rows += rows
  }

  /** As {@link CkaTable.values}. */
  async values(): Promise<number[][]> {
    return this.#shape.values(await this.#sums.squares())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sums[Symbol.asyncDispose]()
  }
}
