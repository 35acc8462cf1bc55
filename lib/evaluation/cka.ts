/**
 * Linear centred kernel alignment (Kornblith et al. 2019, "Similarity of neural network representations revisited", §3):
 * ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of column-centred states, with Frobenius norms. 1 for states that are equal up to rotation and
 * scale. The feature-space form is summed over blocks of rows, so memory depends on the widths and not on the rows. The
 * estimate is biased upwards when rows do not outnumber features by far.
 */
import { StrataError } from '../errors.js'

/** States of one layer, (rows, width) row-major. */
export type StateBlock = Float32Array | Float64Array

/**
 * CKA of each of some layers with each of others, by blocks of rows: `add` what one batch gives, then read `values()`. It holds
 * Σ width × width doubles over all pairs: 33 MB for 7 layers of 384 with themselves, 430 MB for 13 of 768.
 */
export class CkaTable {
  readonly #widths: { left: readonly number[]; right: readonly number[] }
  readonly #centres: { left: Float64Array[]; right: Float64Array[] } = { left: [], right: [] }
  readonly #sums: { left: Float64Array[]; right: Float64Array[] }
  readonly #selves: { left: Float64Array[]; right: Float64Array[] }
  readonly #crosses: Float64Array[][]
  readonly #symmetric: boolean
  #rows = 0

  /** `right` left out: the layers with themselves. BAD_ARGUMENT for no layer or a width that is no whole number above 0. */
  constructor(left: readonly number[], right?: readonly number[]) {
    this.#symmetric = right === undefined
    this.#widths = { left: checkWidths(left), right: right === undefined ? [] : checkWidths(right) }
    const vectors = (widths: readonly number[]) => widths.map((width) => new Float64Array(width))
    const squares = (widths: readonly number[]) => widths.map((width) => new Float64Array(width * width))
    this.#sums = { left: vectors(this.#widths.left), right: vectors(this.#widths.right) }
    this.#selves = { left: squares(this.#widths.left), right: squares(this.#widths.right) }
    this.#crosses = left.map((width, i) =>
      // A layer with one that is named before it is known from the other way round.
      (right ?? left).map((other, j) => new Float64Array(right === undefined && j <= i ? 0 : width * other)),
    )
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
    if ((right === undefined) !== this.#symmetric)
      throw new StrataError(
        'BAD_ARGUMENT',
        `this table compares ${this.#symmetric ? 'layers with themselves: one list' : 'two sets of layers: two lists'} of states was expected`,
      )
    const rows = checkBlocks([
      ['first', left, this.#widths.left],
      ['second', right ?? [], this.#widths.right],
    ])
    if (rows === 0) return
    const lefts = this.#shift('left', left, rows)
    const rights = this.#shift('right', right ?? [], rows)
    for (const [i, states] of lefts.entries()) {
      addProduct(this.#selves.left[i], states, states, padded(rows), true)
      for (const [j, others] of (this.#symmetric ? lefts : rights).entries())
        if (this.#crosses[i][j].length > 0) addProduct(this.#crosses[i][j], states, others, padded(rows), false)
    }
    for (const [j, states] of rights.entries()) addProduct(this.#selves.right[j], states, states, padded(rows), true)
    this.#rows += rows
  }

  /**
   * CKA[left][right], (layers, other layers). NaN where a layer's states are all the same, hold a number that is not finite, or
   * there are fewer than two rows: then there is none.
   */
  values(): number[][] {
    const selfNorms = (side: 'left' | 'right') =>
      this.#selves[side].map((product, i) => {
        const sums = this.#sums[side][i]
        return Math.sqrt(centredSquares(product, sums, sums, this.#rows, true))
      })
    const left = selfNorms('left')
    const right = this.#symmetric ? left : selfNorms('right')
    const rightSums = this.#symmetric ? this.#sums.left : this.#sums.right
    const similarity = (i: number, j: number) => {
      const squares = centredSquares(this.#crosses[i][j], this.#sums.left[i], rightSums[j], this.#rows, false)
      // The last bit of the rounding aside, it is never above 1; NaN passes.
      return Math.min(1, squares / left[i] / right[j])
    }
    return left.map((norm, i) =>
      right.map((_, j) => {
        if (!this.#symmetric) return similarity(i, j)
        if (i === j) return norm / norm
        return similarity(Math.min(i, j), Math.max(i, j))
      }),
    )
  }

  /**
   * States minus the first block's mean, with their sums taken. Sums of products about 0 would lose the digits of states whose
   * mean is far from it; the mean that is left is taken off at the end. Rows of zeros, which add nothing, fill up the last four.
   */
  #shift(side: 'left' | 'right', blocks: readonly StateBlock[], rows: number): Float64Array[] {
    return blocks.map((block, layer) => {
      const width = this.#widths[side][layer]
      this.#centres[side][layer] ??= meanRow(block, rows, width)
      const centre = this.#centres[side][layer]
      const sums = this.#sums[side][layer]
      const shifted = new Float64Array(padded(rows) * width)
      for (let row = 0, at = 0; row < rows; row++) {
        for (let column = 0; column < width; column++, at++) {
          shifted[at] = block[at] - centre[column]
          sums[column] += shifted[at]
        }
      }
      return shifted
    })
  }
}

/**
 * Linear CKA of `left`, (n, leftWidth), and `right`, (n, rightWidth), both row-major. BAD_DATA when their rows differ in number.
 * See {@link CkaTable} for more layers and for states that do not fit into memory.
 */
export function linearCka(left: StateBlock, leftWidth: number, right: StateBlock, rightWidth: number): number {
  const table = new CkaTable([leftWidth], [rightWidth])
  table.add([left], [right])
  return table.values()[0][0]
}

/** Mean of the rows, taken from the first one: of equal rows it is exactly that row. */
function meanRow(block: StateBlock, rows: number, width: number): Float64Array {
  const mean = new Float64Array(width)
  for (let at = 0; at < rows * width; at++) mean[at % width] += (block[at] - block[at % width]) / rows
  return mean.map((value, column) => value + block[column])
}

const padded = (rows: number): number => 4 * Math.ceil(rows / 4)

/** product += leftᵀ right, (leftWidth, width); its upper triangle only when both are the same. Rows come in fours. */
function addProduct(
  product: Float64Array,
  left: Float64Array,
  right: Float64Array,
  rows: number,
  upper: boolean,
): void {
  const leftWidth = left.length / rows
  const width = right.length / rows
  for (let row = 0; row < rows; row += 4) {
    const b0 = row * width
    const b1 = b0 + width
    const b2 = b1 + width
    const b3 = b2 + width
    // Two features at once: each number of the right side is read once for both.
    for (let i = 0; i < leftWidth; i += 2) {
      // The last of an odd width is its own partner, with nothing to add.
      const paired = i + 1 < leftWidth ? 1 : 0
      const a = row * leftWidth + i
      const a0 = left[a]
      const a1 = left[a + leftWidth]
      const a2 = left[a + 2 * leftWidth]
      const a3 = left[a + 3 * leftWidth]
      const c = a + paired
      const c0 = paired * left[c]
      const c1 = paired * left[c + leftWidth]
      const c2 = paired * left[c + 2 * leftWidth]
      const c3 = paired * left[c + 3 * leftWidth]
      const to = i * width
      const next = to + paired * width
      for (let j = upper ? i : 0; j < width; j++) {
        const r0 = right[b0 + j]
        const r1 = right[b1 + j]
        const r2 = right[b2 + j]
        const r3 = right[b3 + j]
        product[to + j] += a0 * r0 + a1 * r1 + a2 * r2 + a3 * r3
        product[next + j] += c0 * r0 + c1 * r1 + c2 * r2 + c3 * r3
      }
    }
  }
}

/** Squared Frobenius norm of the product about the means: each entry less sumᵢ sumⱼ / rows. */
function centredSquares(
  product: Float64Array,
  leftSums: Float64Array,
  rightSums: Float64Array,
  rows: number,
  upper: boolean,
): number {
  const width = rightSums.length
  let total = 0
  for (let i = 0; i < leftSums.length; i++)
    for (let j = upper ? i : 0; j < width; j++) {
      const squared = (product[i * width + j] - (leftSums[i] * rightSums[j]) / rows) ** 2
      total += upper && j > i ? 2 * squared : squared
    }
  return total
}

function checkWidths(widths: readonly number[]): readonly number[] {
  const wrong = widths.find((width) => !(Number.isInteger(width) && width > 0))
  if (widths.length === 0 || wrong !== undefined)
    throw new StrataError(
      'BAD_ARGUMENT',
      `widths of states [${widths.join(', ')}]: one whole number above 0 a layer was expected`,
    )
  return [...widths]
}

/** The one number of rows. */
function checkBlocks(sides: [name: string, blocks: readonly StateBlock[], widths: readonly number[]][]): number {
  let rows: number | undefined
  for (const [name, blocks, widths] of sides) {
    if (blocks.length !== widths.length)
      throw new StrataError(
        'BAD_DATA',
        `${blocks.length} layers in the ${name} set of states; ${widths.length} were expected`,
      )
    for (const [layer, block] of blocks.entries()) {
      const own = block.length / widths[layer]
      if (!Number.isInteger(own))
        throw new StrataError(
          'BAD_DATA',
          `layer ${layer} of the ${name} set has ${block.length} numbers, no multiple of its width ${widths[layer]}`,
        )
      rows ??= own
      if (own !== rows)
        throw new StrataError(
          'BAD_DATA',
          `layer ${layer} of the ${name} set has ${own} rows, the layers before it ${rows}: compare states of the same tokens or sentences`,
        )
    }
  }
  return rows ?? 0
}
