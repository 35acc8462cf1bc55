/** Products of layers' states, summed natively over blocks of rows, on a thread of their own: what a linear CKA is made of. */
import { call, modelAddon, type NativeGramSums } from './native.js'

/** States of one layer, (rows, width) row-major. */
export type StateBlock = Float32Array | Float64Array

/** Places of two layers whose product is summed; twice the same for a layer with itself. */
export type LayerPair = readonly [left: number, right: number]

/**
 * Aᵀ B of some pairs of layers in float64, (left's width, right's width) each, over all rows added. Dispose it: the products are
 * native (Σ width × width doubles over the pairs).
 */
export class GramSums implements AsyncDisposable {
  readonly #native: NativeGramSums

  private constructor(native: NativeGramSums) {
    this.#native = native
  }

  /** Throws BAD_ARGUMENT for a width below 1 or a place that is none, OUT_OF_MEMORY when the products do not fit. */
  static async open(widths: readonly number[], pairs: readonly LayerPair[]): Promise<GramSums> {
    const { addon } = modelAddon()
    return call(() => new GramSums(new addon.NativeGramSums(Int32Array.from(widths), Int32Array.from(pairs.flat()))))
  }

  /** One block a layer, of `rows` rows each; copied at once. Throws BAD_ARGUMENT for other sizes. */
  add(blocks: readonly StateBlock[], rows: number): Promise<void> {
    return call(() => this.#native.add(blocks, rows))
  }

  /** Of each pair, in their order: the squared Frobenius norm of the product about the means of all rows. */
  squares(): Promise<Float64Array> {
    return call(() => this.#native.squares())
  }

  /** Gives the products back after the calls made so far. Idempotent; every later use throws DISPOSED. */
  [Symbol.asyncDispose](): Promise<void> {
    return call(() => this.#native.dispose())
  }
}
