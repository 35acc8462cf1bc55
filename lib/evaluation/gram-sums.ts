/**
 * Sums of products of layers' states over blocks of rows, which is all the work of a CKA: Aᵀ B of some pairs of layers, in float64.
 * Columns lie in panels of four, (column ÷ 4, row, 4): a tile of four by four sums runs over the rows of a block with its two panels
 * in the processor's first cache, and touches the product once a block.
 */
import { type GramKernel, gramKernel } from './gram-kernel.js'

/** States of one layer, (rows, width) row-major. */
export type StateBlock = Float32Array | Float64Array

/** Places of two layers whose product is summed; twice the same for a layer with itself. */
export type LayerPair = readonly [left: number, right: number]

const PANEL = 4
/** Rows of a panel that is worked on at a time: 8 KB each. */
const BLOCK_ROWS = 256
const DOUBLE = Float64Array.BYTES_PER_ELEMENT
const PANEL_BYTES = BLOCK_ROWS * PANEL * DOUBLE

export class GramSums {
  readonly #kernel: GramKernel
  /** Only layers that a pair names. */
  readonly #layers = new Map<number, LayerSums>()
  readonly #products: GramProduct[] = []
  #rows = 0

  /** Throws OUT_OF_MEMORY when the products do not fit into memory, or into 4 GB. */
  constructor(widths: readonly number[], pairs: readonly LayerPair[]) {
    let bytes = 0
    const place = (size: number) => {
      bytes += size
      return bytes - size
    }
    const layers = [...new Set(pairs.flat())].map((layer) => ({
      layer,
      width: widths[layer],
      at: place(panels(widths[layer]) * PANEL_BYTES),
    }))
    const sizes = pairs.map(([left, right]) => {
      const stride = panels(widths[right]) * PANEL * DOUBLE
      return { left, right, stride, at: place(panels(widths[left]) * PANEL * stride) }
    })
    this.#kernel = gramKernel(bytes)
    for (const { layer, width, at } of layers) this.#layers.set(layer, new LayerSums(width, at, this.#kernel.memory))
    for (const { left, right, stride, at } of sizes)
      this.#products.push({ left: this.#layers.get(left)!, right: this.#layers.get(right)!, stride, at })
  }

  get rows(): number {
    return this.#rows
  }

  /** One block a layer, of as many rows each; none is kept. */
  add(blocks: readonly StateBlock[], rows: number): void {
    for (let from = 0; from < rows; from += BLOCK_ROWS) {
      const count = Math.min(BLOCK_ROWS, rows - from)
      for (const [layer, sums] of this.#layers) sums.take(blocks[layer], rows, from, count)
      for (const product of this.#products) addTiles(this.#kernel, product, count)
    }
    this.#rows += rows
  }

  /** Of each pair, in their order: the squared Frobenius norm of the product about the means. */
  squares(): number[] {
    return this.#products.map((product) => centredSquares(new Float64Array(this.#kernel.memory), product, this.#rows))
  }
}

/** leftᵀ right, (left's panels × 4, right's panels × 4), `stride` bytes a row, from byte `at` on. Of a layer with itself the tiles from the diagonal on. */
interface GramProduct {
  left: LayerSums
  right: LayerSums
  stride: number
  at: number
}

/**
 * One layer: its states minus the first block's mean, in panels, and their sums by column. Sums of products about 0 would lose the digits
 * of states whose mean is far from it; the mean that is left is taken off at the end.
 */
class LayerSums {
  readonly sums: Float64Array
  readonly #panels: Float64Array
  #centre?: Float64Array

  /** `at`: first byte of its panels in the kernel's memory, which begins as zeros: so stay columns that only fill up the last panel. */
  constructor(
    readonly width: number,
    readonly at: number,
    memory: ArrayBuffer,
  ) {
    this.sums = new Float64Array(width)
    this.#panels = new Float64Array(memory, at, (panels(width) * PANEL_BYTES) / DOUBLE)
  }

  /** Takes `count` rows of a block of `rows` from row `from` on. */
  take(block: StateBlock, rows: number, from: number, count: number): void {
    const { width, sums } = this
    const to = this.#panels
    this.#centre ??= meanRow(block, rows, width)
    const centre = this.#centre
    for (let column = 0; column < width; column++) {
      const mean = centre[column]
      let sum = 0
      let at = (column - (column % PANEL)) * BLOCK_ROWS + (column % PANEL)
      for (let row = from; row < from + count; row++, at += PANEL) {
        const shifted = block[row * width + column] - mean
        to[at] = shifted
        sum += shifted
      }
      sums[column] += sum
    }
  }
}

const panels = (width: number): number => Math.ceil(width / PANEL)

/** Mean of the rows, taken from the first one: of equal rows it is exactly that row. */
function meanRow(block: StateBlock, rows: number, width: number): Float64Array {
  const mean = new Float64Array(width)
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < width; column++, at++) mean[column] += (block[at] - block[column]) / rows
  for (let column = 0; column < width; column++) mean[column] += block[column]
  return mean
}

function addTiles({ tile }: GramKernel, { left, right, stride, at }: GramProduct, rows: number): void {
  const [lefts, rights] = [panels(left.width), panels(right.width)]
  const length = rows * PANEL * DOUBLE
  for (let i = 0; i < lefts; i++) {
    const from = left.at + i * PANEL_BYTES
    for (let j = left === right ? i : 0; j < rights; j++)
      tile(from, right.at + j * PANEL_BYTES, from + length, at + PANEL * (i * stride + j * DOUBLE), stride)
  }
}

/** Squared Frobenius norm of a product about the means: each entry less sumᵢ sumⱼ / rows. Of a layer with itself the upper triangle counts twice. */
function centredSquares(memory: Float64Array, { left, right, stride, at }: GramProduct, rows: number): number {
  const upper = left === right
  let total = 0
  for (let i = 0; i < left.width; i++) {
    const row = (at + i * stride) / DOUBLE
    for (let j = upper ? i : 0; j < right.width; j++) {
      const squared = (memory[row + j] - (left.sums[i] * right.sums[j]) / rows) ** 2
      total += upper && j > i ? 2 * squared : squared
    }
  }
  return total
}
