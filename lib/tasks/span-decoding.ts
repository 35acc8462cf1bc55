/**
 * From start and end scores to an answer's text, as BERT's SQuAD program does it (Devlin et al. 2019, arXiv 1810.04805 §4.2, 4.3): best
 * pairs over all windows of a context, each token judged in the window that shows most around it. The text is cut out of the context by
 * character offsets.
 */
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { replaceOutput } from '../output-file.js'
import { softmax } from '../softmax.js'

/** A part of a context's tokens that stands in one sequence. */
export interface SpanWindow {
  /** First of its tokens, counted in the context. */
  firstToken: number
  /** How many of the context's tokens it shows. */
  tokens: number
  /** Where in the sequence the first of them stands. */
  contextPlace: number
}

/** Scores of every token of a window's sequence; special tokens and question included, place 0 is [CLS]. */
export interface SpanLogits {
  startLogits: ArrayLike<number>
  endLogits: ArrayLike<number>
}

export interface SpanSearchOptions {
  /** The text that the answer is cut out of. */
  context: string
  /** Characters of all the context's tokens, in UTF-16 units, shape (T). */
  starts: ArrayLike<number>
  ends: ArrayLike<number>
  /** In the order of the context. */
  windows: readonly SpanWindow[]
  /** 0 where a token continues a word, shape (T): spans are widened to whole words. Default: they end where the model ends them. */
  wordStarts?: ArrayLike<number>
  /** Longest answer in tokens; default 30. */
  maxAnswerTokens?: number
  /** Best starts and ends of each window that are combined, and length of the list; default 20. */
  nBest?: number
  /** The context may have no answer (SQuAD 2.0). Default false. */
  noAnswer?: boolean
  /** The answer is "" when the no-answer score exceeds this; default 0. */
  noAnswerThreshold?: number
}

export interface DecodeSpanOptions extends Omit<SpanSearchOptions, 'windows'> {
  /** In the order of the context. */
  windows: readonly ({ window: SpanWindow } & SpanLogits)[]
}

export interface SpanCandidate {
  text: string
  /** Characters of the context, in UTF-16 units; both 0 for no answer. */
  start: number
  end: number
  startLogit: number
  endLogit: number
  /** Softmax over the list's scores (start + end). */
  probability: number
}

export interface DecodedSpan {
  /** The answer; "" for none. */
  text: string
  /** Place of the answer in the context, in UTF-16 units. */
  start: number
  end: number
  /** Probability of the answer among the list's candidates. */
  probability: number
  /** Best first. With `noAnswer`, "" is one of them. */
  candidates: SpanCandidate[]
  /** Lowest score of [CLS] over the windows minus the best span's score; with `noAnswer` only. */
  noAnswerScore?: number
}

/**
 * Finds the best spans of a context. Ties go to the earlier window, then the better start. When no pair of places is an answer (all
 * good starts lie in the question), the text is "". Takes time linear in the number of windows: a context may be a book.
 */
export function decodeSpans(options: DecodeSpanOptions): DecodedSpan {
  const search = new SpanSearch({ ...options, windows: options.windows.map(({ window }) => window) })
  for (const logits of options.windows) search.read(logits)
  return search.result()
}

/** {@link decodeSpans} window by window, so that others may have their turn in between. */
export class SpanSearch {
  readonly #options: SpanSearchOptions
  readonly #nBest: number
  /** Where the span of two tokens begins and ends, in UTF-16 units: of the tokens or of the words that they stand in, shape (T). */
  readonly #starts: ArrayLike<number>
  readonly #ends: ArrayLike<number>
  /** Windows read so far. */
  #count = 0
  /** Those of the windows so far. */
  #candidates: SpanCandidate[] = []
  /** Scores of [CLS] where they are lowest. */
  #null = { startLogit: 0, endLogit: 0, score: Number.POSITIVE_INFINITY }

  constructor(options: SpanSearchOptions) {
    this.#options = options
    this.#nBest = options.nBest ?? 20
    const { starts, ends, wordStarts } = options
    ;[this.#starts, this.#ends] = wordStarts ? ofWords(starts, ends, wordStarts) : [starts, ends]
  }

  /** The next window's scores. */
  read({ startLogits, endLogits }: SpanLogits): void {
    const { windows, context, maxAnswerTokens = 30 } = this.#options
    const index = this.#count++
    const nBest = this.#nBest
    const nullScore = startLogits[0] + endLogits[0]
    if (nullScore < this.#null.score)
      this.#null = { startLogit: startLogits[0], endLogit: endLogits[0], score: nullScore }
    const { contextPlace, tokens, firstToken } = windows[index]
    const inContext = (place: number): boolean => place >= contextPlace && place < contextPlace + tokens
    const bestEnds = bestPlaces(endLogits, nBest).filter(inContext)
    const found: SpanCandidate[] = []
    for (const start of bestPlaces(startLogits, nBest)) {
      if (!inContext(start) || !showsMost(windows, index, firstToken + start - contextPlace)) continue
      for (const end of bestEnds) {
        if (end < start || end - start + 1 > maxAnswerTokens) continue
        const from = this.#starts[firstToken + start - contextPlace]
        const to = this.#ends[firstToken + end - contextPlace]
        const [startLogit, endLogit] = [startLogits[start], endLogits[end]]
        found.push({ text: context.slice(from, to), start: from, end: to, startLogit, endLogit, probability: 0 })
      }
    }
    if (found.length === 0) return
    // Stable: of equal scores the one found first stays first.
    found.sort((left, right) => scoreOf(right) - scoreOf(left))
    this.#candidates = best(this.#candidates, found, nBest)
  }

  /** After the last window. */
  result(): DecodedSpan {
    const { noAnswer = false, noAnswerThreshold = 0 } = this.#options
    let candidates = [...this.#candidates]
    const none = { text: '', start: 0, end: 0, probability: 0 }
    if (noAnswer) {
      const empty = { ...none, startLogit: this.#null.startLogit, endLogit: this.#null.endLogit }
      candidates = best(candidates, [empty], this.#nBest)
      if (!candidates.some(({ text }) => text === '')) candidates.push(empty)
    }
    if (candidates.length === 0) candidates.push({ ...none, startLogit: 0, endLogit: 0 })
    setProbabilities(candidates)
    const span = candidates.find(({ text }) => text !== '')
    if (!noAnswer) return decoded(candidates[0], candidates)
    // Without any span, no answer is certain.
    const noAnswerScore = span ? this.#null.score - span.startLogit - span.endLogit : Number.MAX_VALUE
    const empty = candidates.find(({ text }) => text === '')!
    const chosen = span && noAnswerScore <= noAnswerThreshold ? span : empty
    return { ...decoded(chosen, candidates), noAnswerScore }
  }
}

function decoded({ text, start, end, probability }: SpanCandidate, candidates: SpanCandidate[]): DecodedSpan {
  return { text, start, end, probability, candidates }
}

/** For each token where its word begins and where it ends. */
function ofWords(
  starts: ArrayLike<number>,
  ends: ArrayLike<number>,
  wordStarts: ArrayLike<number>,
): [Int32Array, Int32Array] {
  const [from, to] = [Int32Array.from(starts), Int32Array.from(ends)]
  for (let token = 1; token < from.length; token++) if (!wordStarts[token]) from[token] = from[token - 1]
  for (let token = to.length - 1; token > 0; token--) if (!wordStarts[token]) to[token - 1] = to[token]
  return [from, to]
}

function scoreOf({ startLogit, endLogit }: SpanCandidate): number {
  return startLogit + endLogit
}

/** Two lists, best first, as one of at most `count` different texts. Of equal scores those of the first list come first. */
function best(first: readonly SpanCandidate[], second: readonly SpanCandidate[], count: number): SpanCandidate[] {
  const list: SpanCandidate[] = []
  const seen = new Set<string>()
  let [a, b] = [0, 0]
  while (list.length < count && (a < first.length || b < second.length)) {
    const ofFirst = b >= second.length || (a < first.length && scoreOf(first[a]) >= scoreOf(second[b]))
    const next = ofFirst ? first[a++] : second[b++]
    if (seen.has(next.text)) continue
    seen.add(next.text)
    list.push(next)
  }
  return list
}

/** Places of the `count` highest logits, best first; of equal ones the earlier. */
function bestPlaces(logits: ArrayLike<number>, count: number): number[] {
  const places: number[] = []
  for (let place = 0; place < logits.length; place++) {
    const logit = logits[place]
    if (places.length === count && !(logit > logits[places[count - 1]])) continue
    let at = Math.min(places.length, count - 1)
    for (; at > 0 && logit > logits[places[at - 1]]; at--) places[at] = places[at - 1]
    places[at] = place
  }
  return places
}

/**
 * True when no other window shows more around a token ("maximum context"): the smaller of the tokens to its left and right, and a
 * hundredth of the window's length to part equals; then the earlier window.
 */
function showsMost(windows: readonly SpanWindow[], index: number, token: number): boolean {
  const scoreAt = (place: number): number | undefined => {
    if (place < 0 || place >= windows.length) return undefined
    const { firstToken, tokens } = windows[place]
    const last = firstToken + tokens - 1
    return token < firstToken || token > last ? undefined : Math.min(token - firstToken, last - token) + 0.01 * tokens
  }
  const own = scoreAt(index)!
  // Windows that show a token stand side by side.
  for (let place = index - 1; ; place--) {
    const score = scoreAt(place)
    if (score === undefined) break
    if (score >= own) return false
  }
  for (let place = index + 1; ; place++) {
    const score = scoreAt(place)
    if (score === undefined) return true
    if (score > own) return false
  }
}

function setProbabilities(candidates: SpanCandidate[]): void {
  const probabilities = softmax(candidates.map(({ startLogit, endLogit }) => startLogit + endLogit))
  candidates.forEach((candidate, index) => {
    candidate.probability = probabilities[index]
  })
}

/**
 * Writes what the official script and BERT's program read and write: `predictions.json` {id: text}, `nbest_predictions.json` {id: [{text, probability,
 * start_logit, end_logit}]} and, where there are no-answer scores, `null_odds.json` {id: score} (the script's `--na-prob-file`).
 * Returns the files' names. Throws a typed error that names the file.
 */
export async function writeSpanPredictions(
  folder: string,
  answers: ReadonlyMap<string, DecodedSpan>,
): Promise<string[]> {
  const entries = [...answers]
  const files: Record<string, string> = {
    'predictions.json': objectOf(entries.map(([id, { text }]) => [id, text])),
    'nbest_predictions.json': objectOf(
      entries.map(([id, { candidates }]) => [
        id,
        candidates.map(({ text, probability, startLogit, endLogit }) => ({
          text,
          probability,
          start_logit: startLogit,
          end_logit: endLogit,
        })),
      ]),
    ),
  }
  if (entries.some(([, { noAnswerScore }]) => noAnswerScore !== undefined)) {
    files['null_odds.json'] = objectOf(entries.map(([id, { noAnswerScore }]) => [id, noAnswerScore]))
  }
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    await replaceOutput(path, content).catch((error) => {
      throw fileError(error, path, 'write the predictions')
    })
  }
  return Object.keys(files)
}

/** JSON whose keys keep their order: an object would put ids that read like numbers first. */
function objectOf(entries: readonly (readonly [string, unknown])[]): string {
  return `{\n${entries.map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(',\n')}\n}\n`
}
