/**
 * Linear centred kernel alignment (Kornblith et al. 2019, "Similarity of neural network representations revisited", §3):
 * ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of column-centred states, with Frobenius norms. 1 for states that are equal up to rotation and
 * scale. The feature-space form is summed over blocks of rows (`layer-cka.ts`), so memory depends on the widths and not on the rows.
 * The estimate is biased upwards when rows do not outnumber features by far.
 */
import { StrataError } from '../../errors.js'
import type { LayerPair, StateBlock } from '../../model/index.js'

/** Which layers a table compares: those of one set with each other, or each of the left ones with each of the right ones. */
export class CkaShape {
  /** Of all layers, the right ones after the left ones. */
  readonly widths: readonly number[]
  /** Every layer with itself, then every two that are compared. */
  readonly pairs: readonly LayerPair[]
  readonly symmetric: boolean
  readonly #left: number

  /** BAD_ARGUMENT for no layer or a width that is no whole number above 0. */
  constructor(left: readonly number[], right?: readonly number[]) {
    this.symmetric = right === undefined
    this.#left = left.length
    this.widths = [...checkWidths(left), ...(right === undefined ? [] : checkWidths(right))]
    const all = this.widths.map((_, layer) => layer)
    const crosses = all.slice(0, left.length).flatMap((i) =>
      // A layer with one that is named before it is known from the other way round.
      all.slice(right === undefined ? i + 1 : left.length).map((j): LayerPair => [i, j]),
    )
    this.pairs = [...all.map((layer): LayerPair => [layer, layer]), ...crosses]
  }

  /** The blocks of all layers and their number of rows. BAD_DATA when these differ, a length is no multiple of its width, or layers are missing. */
  checked(left: readonly StateBlock[], right?: readonly StateBlock[]): { blocks: readonly StateBlock[]; rows: number } {
    if ((right === undefined) !== this.symmetric)
      throw new StrataError(
        'BAD_ARGUMENT',
        `this table compares ${this.symmetric ? 'layers with themselves: one list' : 'two sets of layers: two lists'} of states was expected`,
      )
    const rows = checkBlocks([
      ['first', left, this.widths.slice(0, this.#left)],
      ['second', right ?? [], this.widths.slice(this.#left)],
    ])
    return { blocks: [...left, ...(right ?? [])], rows }
  }

  /**
   * CKA[left][right], (layers, other layers), of the pairs' squared norms. NaN where a layer's states are all the same, hold a number
   * that is not finite, or there are fewer than two rows: then there is none.
   */
  values(squares: ArrayLike<number>): number[][] {
    const norms = this.widths.map((_, layer) => Math.sqrt(squares[layer]))
    const found = new Map(this.pairs.map(([i, j], place) => [`${i} ${j}`, squares[place]]))
    const rows = norms.slice(0, this.#left)
    const columns = this.symmetric ? rows : norms.slice(this.#left)
    return rows.map((norm, i) =>
      columns.map((_, column) => {
        const j = this.symmetric ? column : this.#left + column
        if (i === j) return norm / norm
        const [a, b] = i < j ? [i, j] : [j, i]
        // The last bit of the rounding aside, it is never above 1; NaN passes.
        return Math.min(1, found.get(`${a} ${b}`)! / norms[a] / norms[b])
      }),
    )
  }
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
