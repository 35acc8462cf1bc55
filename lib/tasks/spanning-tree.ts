/**
 * Maximum spanning tree of arc scores: Chu-Liu/Edmonds in Tarjan's form for dense graphs, by growing paths and contracting cycles, in
 * O(W²) time and memory. A single root is exact, not a heuristic: arcs from the root are compared by their number first and by score
 * second, so that the tree has the fewest roots that the allowed arcs permit (cf. Zmigrod, Vieira & Cotterell 2020, arXiv 2008.12971;
 * Stanojević & Cohen 2021, who add a constant to the scores instead, at a loss of precision).
 */
import { StrataError } from '../errors.js'

const UNSEEN = 0
const ON_PATH = 1
const ATTACHED = 2
/** Contracted into another node. */
const GONE = 3

/**
 * The best tree over W words and a root.
 *
 * @param scores (W, W + 1) row-major: row i is word i + 1 as dependent, column j its head; column 0 is the root. -Infinity forbids an
 *   arc; a word's arc to itself is never read.
 * @returns (W) heads: word numbers from 1, 0 for the root. Of equal trees always the same one.
 *
 * Throws BAD_ARGUMENT for a wrong length, NON_FINITE for NaN or +Infinity (naming the arc), and BAD_DATA where the allowed arcs hold
 * no tree (with a single root, if asked for).
 */
export function maximumSpanningTree(
  scores: Float32Array | Float64Array,
  wordCount: number,
  options: { singleRoot?: boolean } = {},
): Int32Array {
  const { singleRoot = true } = options
  checkScores(scores, wordCount)
  if (wordCount === 0) return new Int32Array(0)
  const heads = new Contraction(scores, wordCount, singleRoot).solve()
  const roots = heads.reduce((count, head) => count + Number(head === 0), 0)
  if (singleRoot && roots > 1) {
    throw new StrataError(
      'BAD_DATA',
      `the allowed arcs of ${wordCount} words hold no tree with a single root (${roots} are needed); allow more arcs, or singleRoot: false`,
    )
  }
  return heads
}

function checkScores(scores: Float32Array | Float64Array, wordCount: number): void {
  if (!Number.isInteger(wordCount) || wordCount < 0) {
    throw new StrataError('BAD_ARGUMENT', `wordCount is ${wordCount}; a whole number of words was expected`)
  }
  if (!(scores instanceof Float32Array || scores instanceof Float64Array)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      'scores is no Float32Array or Float64Array; scores of shape (W, W + 1) were expected',
    )
  }
  if (scores.length !== wordCount * (wordCount + 1)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `scores has ${scores.length} entries; ${wordCount} × ${wordCount + 1} were expected`,
    )
  }
  for (let word = 0; word < wordCount; word++) {
    for (let head = 0; head <= wordCount; head++) {
      const score = scores[word * (wordCount + 1) + head]
      if (score < Number.POSITIVE_INFINITY || head === word + 1) continue
      throw new StrataError(
        'NON_FINITE',
        `the score of word ${word + 1} with head ${head} is ${score}; a finite number, or -Infinity to forbid the arc, was expected`,
        { details: { dependent: word + 1, head } },
      )
    }
  }
}

/**
 * Nodes 0 to W are the root and the words; contracted cycles get the numbers from W + 1. A cycle takes over the slot (row and column)
 * of one of its nodes.
 */
class Contraction {
  readonly #size: number
  /** [slot of the dependent, slot of the head]: the best arc between the two, given the cycles contracted so far. */
  readonly #score: Float64Array
  /** Minus the number of root arcs that the choice of this arc adds. */
  readonly #rank: Int32Array
  readonly #arcHead: Int32Array
  readonly #arcDependent: Int32Array
  readonly #state: Uint8Array
  readonly #nodeOfSlot: Int32Array
  /** By node: the contraction it is part of (0 for none), its parts, the chosen arc. */
  readonly #parent: Int32Array
  readonly #parts: number[][] = []
  readonly #chosenHead: Int32Array
  readonly #chosenDependent: Int32Array
  /** By slot: the arc chosen on the path, as slot of its head. */
  readonly #before: Int32Array
  #nodeCount: number

  constructor(scores: Float32Array | Float64Array, wordCount: number, singleRoot: boolean) {
    const size = wordCount + 1
    this.#size = size
    this.#score = new Float64Array(size * size).fill(Number.NEGATIVE_INFINITY)
    this.#rank = new Int32Array(size * size)
    this.#arcHead = new Int32Array(size * size)
    this.#arcDependent = new Int32Array(size * size)
    for (let word = 1; word < size; word++) {
      for (let head = 0; head < size; head++) {
        if (head === word) continue
        const at = word * size + head
        this.#score[at] = scores[(word - 1) * size + head]
        this.#rank[at] = singleRoot && head === 0 ? -1 : 0
        this.#arcHead[at] = head
        this.#arcDependent[at] = word
      }
    }
    this.#state = new Uint8Array(size)
    this.#state[0] = ATTACHED
    this.#nodeOfSlot = Int32Array.from({ length: size }, (_, slot) => slot)
    this.#parent = new Int32Array(2 * size)
    this.#chosenHead = new Int32Array(2 * size)
    this.#chosenDependent = new Int32Array(2 * size)
    this.#before = new Int32Array(size)
    this.#nodeCount = size
  }

  solve(): Int32Array {
    for (let word = 1; word < this.#size; word++) if (this.#state[word] === UNSEEN) this.#attach(word)
    return this.#expand()
  }

  /** Follows best heads from a word until one is attached already; cycles on the way are contracted. */
  #attach(start: number): void {
    const path = [start]
    this.#state[start] = ON_PATH
    for (;;) {
      const top = path[path.length - 1]
      const head = this.#bestHead(top)
      const at = top * this.#size + head
      const node = this.#nodeOfSlot[top]
      this.#chosenHead[node] = this.#arcHead[at]
      this.#chosenDependent[node] = this.#arcDependent[at]
      this.#before[top] = head
      if (this.#state[head] === ATTACHED) break
      if (this.#state[head] === UNSEEN) {
        this.#state[head] = ON_PATH
        path.push(head)
        continue
      }
      const cycle = path.splice(path.indexOf(head))
      this.#contract(cycle)
      path.push(cycle[0])
    }
    for (const slot of path) this.#state[slot] = ATTACHED
  }

  #bestHead(dependent: number): number {
    const row = dependent * this.#size
    let best = -1
    for (let head = 0; head < this.#size; head++) {
      if (head === dependent || this.#state[head] === GONE) continue
      if (this.#score[row + head] === Number.NEGATIVE_INFINITY) continue
      if (best < 0 || this.#better(row + head, row + best)) best = head
    }
    if (best >= 0) return best
    throw new StrataError(
      'BAD_DATA',
      `no allowed arc leads to word ${this.#arcDependentOf(dependent)} from outside; the allowed arcs hold no tree`,
    )
  }

  #better(at: number, other: number): boolean {
    if (this.#score[at] === Number.NEGATIVE_INFINITY) return false
    if (this.#score[other] === Number.NEGATIVE_INFINITY) return true
    if (this.#rank[at] !== this.#rank[other]) return this.#rank[at] > this.#rank[other]
    return this.#score[at] > this.#score[other]
  }

  #contract(cycle: number[]): void {
    const size = this.#size
    const [kept] = cycle
    const node = this.#nodeCount++
    const chosen = cycle.map((slot) => slot * size + this.#before[slot])
    // What choosing another arc into a node of the cycle costs: the arc inside the cycle that it replaces.
    const lostScore = chosen.map((at) => this.#score[at])
    const lostRank = chosen.map((at) => this.#rank[at])
    this.#parts[node] = cycle.map((slot) => this.#nodeOfSlot[slot])
    for (const part of this.#parts[node]) this.#parent[part] = node
    for (const slot of cycle) this.#state[slot] = GONE
    for (let other = 0; other < size; other++) {
      if (this.#state[other] === GONE) continue
      const into = kept * size + other
      const outOf = other * size + kept
      for (let i = 0; i < cycle.length; i++) {
        const at = cycle[i] * size + other
        this.#score[at] -= lostScore[i]
        this.#rank[at] -= lostRank[i]
        if (at !== into && this.#better(at, into)) this.#copyArc(at, into)
        const from = other * size + cycle[i]
        if (from !== outOf && this.#better(from, outOf)) this.#copyArc(from, outOf)
      }
    }
    this.#state[kept] = ON_PATH
    this.#nodeOfSlot[kept] = node
  }

  #copyArc(from: number, to: number): void {
    this.#score[to] = this.#score[from]
    this.#rank[to] = this.#rank[from]
    this.#arcHead[to] = this.#arcHead[from]
    this.#arcDependent[to] = this.#arcDependent[from]
  }

  /** The arc into a cycle replaces the chosen arc of the part it leads to; the other parts keep theirs. */
  #expand(): Int32Array {
    const heads = new Int32Array(this.#size - 1)
    const waiting: number[] = []
    for (let node = 1; node < this.#nodeCount; node++) if (this.#parent[node] === 0) waiting.push(node)
    while (waiting.length > 0) {
      const node = waiting.pop()!
      let at = this.#chosenDependent[node]
      heads[at - 1] = this.#chosenHead[node]
      while (at !== node) {
        const parent = this.#parent[at]
        for (const part of this.#parts[parent]) if (part !== at) waiting.push(part)
        at = parent
      }
    }
    return heads
  }

  #arcDependentOf(slot: number): number {
    let node = this.#nodeOfSlot[slot]
    while (node >= this.#size) node = this.#parts[node][0]
    return node
  }
}
