/** F1 over the spans that tags such as B-PER, I-PER, O mark, as the CoNLL-2000 script (conlleval) and seqeval count them. */
import { StrataError } from '../errors.js'

export interface SpanFigures {
  /** Harmonic mean of precision and recall over all spans of all sequences; 0 when no span is right. */
  f1: number
  precision: number
  recall: number
  /** Spans in the labels, in the predictions, and in both with the same borders and type. */
  expected: number
  predicted: number
  correct: number
}

/**
 * Compares the spans of each sequence. IOB1, IOB2 and BIOES/BILOU-like E- and S- prefixes are understood; an I- without a span of its type
 * before it opens one. Throws BAD_ARGUMENT when the numbers of sequences or tags differ.
 *
 * @param labels one list of tags a sequence
 * @param predictions of the same shape
 */
export function spanFigures(
  labels: readonly (readonly string[])[],
  predictions: readonly (readonly string[])[],
): SpanFigures {
  if (labels.length !== predictions.length) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${labels.length} sequences of labels and ${predictions.length} of predictions were given; equal numbers were expected`,
    )
  }
  let expected = 0
  let predicted = 0
  let correct = 0
  labels.forEach((tags, index) => {
    if (tags.length !== predictions[index].length) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `sequence ${index} has ${tags.length} labels and ${predictions[index].length} predictions; equal numbers were expected`,
      )
    }
    const right = new Set(spansOf(tags))
    const found = spansOf(predictions[index])
    expected += right.size
    predicted += found.length
    for (const span of found) if (right.has(span)) correct++
  })
  const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole)
  return {
    f1: ratio(2 * correct, expected + predicted),
    precision: ratio(correct, predicted),
    recall: ratio(correct, expected),
    expected,
    predicted,
    correct,
  }
}

/** Each span as "first last type". */
function spansOf(tags: readonly string[]): string[] {
  const spans: string[] = []
  let begin = 0
  let previousKind = 'O'
  let previousType = ''
  for (let i = 0; i <= tags.length; i++) {
    const tag = i < tags.length ? tags[i] : 'O'
    const kind = tag.slice(0, 1)
    const rest = tag.slice(1)
    const dash = rest.indexOf('-')
    const type = rest.slice(dash + 1) || '_'
    if (endsSpan(previousKind, kind, previousType, type)) spans.push(`${begin} ${i - 1} ${previousType}`)
    if (startsSpan(previousKind, kind, previousType, type)) begin = i
    previousKind = kind
    previousType = type
  }
  return spans
}

const OUTSIDE = 'O.'

function endsSpan(previous: string, kind: string, previousType: string, type: string): boolean {
  if (previous === 'E' || previous === 'S') return true
  if ((previous === 'B' || previous === 'I') && (kind === 'B' || kind === 'S' || kind === 'O')) return true
  return !OUTSIDE.includes(previous) && previousType !== type
}

function startsSpan(previous: string, kind: string, previousType: string, type: string): boolean {
  if (kind === 'B' || kind === 'S') return true
  if ((kind === 'E' || kind === 'I') && (previous === 'E' || previous === 'S' || previous === 'O')) return true
  return !OUTSIDE.includes(kind) && previousType !== type
}
