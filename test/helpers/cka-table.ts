/** Linear CKA in plain loops. */
import { CkaShape } from '../../lib/evaluation/layers/cka-shape.js'
import type { StateBlock } from '../../lib/model/index.js'

/**
 * CKA of each of some layers with each of others, by blocks of rows: `add` what one batch gives, then read `values()`. Plain loops
 * on the calling thread: what `LayerCka`, which sums natively, is held against.
 */
export class CkaTable {
  readonly #shape: CkaShape
  readonly #sums: Float64Array[]
  readonly #products: Float64Array[]
  /** The first block's mean by layer: sums of products about 0 would lose the digits of states whose mean is far from it. */
  #centres?: Float64Array[]
  #rows = 0

  /** `right` left out: the layers with themselves. BAD_ARGUMENT for no layer or a width that is no whole number above 0. */
  constructor(left: readonly number[], right?: readonly number[]) {
    this.#shape = new CkaShape(left, right)
    const { widths, pairs } = this.#shape
    this.#sums = widths.map((width) => new Float64Array(width))
    this.#products = pairs.map(([i, j]) => new Float64Array(widths[i] * widths[j]))
  }

  /** Rows added so far. */
  get rows(): number {
    return this.#rows
  }

  /**
   * Adds a block of rows: one array a layer, row r of all of them for the same token or sentence. BAD_DATA when their numbers
   * of rows differ, a length is no multiple of its width, or layers are missing; the table is then as before.
   */
  add(left: readonly StateBlock[], right?: readonly StateBlock[]): void {
    const { blocks, rows } = this.#shape.checked(left, right)
    const { widths, pairs } = this.#shape
    if (rows === 0) return
    this.#centres ??= blocks.map((block, layer) => meanRow(block, rows, widths[layer]))
    const centres = this.#centres
    for (let row = 0; row < rows; row++) {
      const states = blocks.map((block, layer) =>
        centres[layer].map((mean, column) => block[row * widths[layer] + column] - mean),
      )
      for (const [layer, values] of states.entries())
        for (let column = 0; column < values.length; column++) this.#sums[layer][column] += values[column]
      for (const [pair, [i, j]] of pairs.entries()) addProduct(this.#products[pair], states[i], states[j])
    }
    this.#rows += rows
  }

  /**
   * CKA[left][right], (layers, other layers). NaN where a layer's states are all the same, hold a number that is not finite, or
   * there are fewer than two rows: then there is none.
   */
  values(): number[][] {
    const squares = this.#shape.pairs.map(([i, j], pair) =>
      centredSquares(this.#products[pair], this.#sums[i], this.#sums[j], this.#rows),
    )
    return this.#shape.values(squares)
  }
}

/** Mean of the rows, taken from the first one: of equal rows it is exactly that row. */
function meanRow(block: StateBlock, rows: number, width: number): Float64Array {
  const mean = new Float64Array(width)
  for (let at = 0; at < rows * width; at++) mean[at % width] += (block[at] - block[at % width]) / rows
  return mean.map((value, column) => value + block[column])
}

/** product += left rightᵀ, (left's width, right's width). */
function addProduct(product: Float64Array, left: Float64Array, right: Float64Array): void {
  for (let i = 0, at = 0; i < left.length; i++)
    for (let j = 0; j < right.length; j++, at++) product[at] += left[i] * right[j]
}

/** Squared Frobenius norm of a product about the means: each entry less sumᵢ sumⱼ / rows. */
function centredSquares(product: Float64Array, left: Float64Array, right: Float64Array, rows: number): number {
  let total = 0
  for (let i = 0, at = 0; i < left.length; i++)
    for (let j = 0; j < right.length; j++, at++) total += (product[at] - (left[i] * right[j]) / rows) ** 2
  return total
}

/**
 * Linear CKA of `left`, (n, leftWidth), and `right`, (n, rightWidth), both row-major. BAD_DATA when their rows differ in number.
 */
export function linearCka(left: StateBlock, leftWidth: number, right: StateBlock, rightWidth: number): number {
  const table = new CkaTable([leftWidth], [rightWidth])
  table.add([left], [right])
  return table.values()[0][0]
}
