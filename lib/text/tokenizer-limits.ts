/**
 * What a tokenizer.json from elsewhere may ask of the tokenizer library. A regular expression can take time without end on one text, and a
 * part that lengthens its text (a replacement, or bytes written as characters), twenty times in a row, takes all memory; BERT's tokenizers
 * need neither.
 */
import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'

/** Parts of normaliser, pre-tokeniser and decoder together. */
const MOST_PARTS = 100
const LONGEST_PREFIX = 16
/** WordPiece takes time with the square of a word. */
const LONGEST_WORD = 1000

/** What keeps a tokenizer from being used; undefined when nothing does. `unsupported`: the file may be whole, but not for this package. */
function tokenizerProblem(json: Record<string, unknown>): { problem: string; unsupported: boolean } | undefined {
  const counted = { parts: 0, byteLevels: 0 }
  for (const part of ['normalizer', 'pre_tokenizer', 'decoder'] as const) {
    const problem = partProblem(json[part], counted)
    if (problem) return { problem: `"${part}" ${problem}`, unsupported: true }
  }
  const model = json.model as Record<string, unknown>
  const bad = (field: string, expected: string) => ({
    problem: `"model.${field}" is ${shownValue(model[field])}; ${expected} was expected`,
    unsupported: false,
  })
  const { continuing_subword_prefix: prefix, max_input_chars_per_word: longest, unk_token: unknown } = model
  if (typeof prefix !== 'string' || prefix.length > LONGEST_PREFIX)
    return bad('continuing_subword_prefix', `text of at most ${LONGEST_PREFIX} characters`)
  if (!Number.isInteger(longest) || (longest as number) < 1 || (longest as number) > LONGEST_WORD)
    return bad('max_input_chars_per_word', `a whole number from 1 to ${LONGEST_WORD}`)
  if (typeof unknown !== 'string' || !Object.hasOwn(model.vocab as object, unknown))
    return bad('unk_token', 'a token of the vocabulary')
  return undefined
}

/** `counted`: so far, of all the file's parts. */
function partProblem(root: unknown, counted: { parts: number; byteLevels: number }): string | undefined {
  const visit = (value: unknown): string | undefined => {
    if (typeof value !== 'object' || value === null) return undefined
    if (++counted.parts > MOST_PARTS)
      return `has more than ${MOST_PARTS} parts; a tokenizer of BERT's make was expected`
    if (Object.hasOwn(value, 'Regex'))
      return 'holds a regular expression, which is not run; text patterns were expected'
    const { type, pattern, content, prepend } = value as {
      type?: unknown
      pattern?: { String?: unknown }
      content?: unknown
      prepend?: unknown
    }
    if (type === 'Precompiled')
      return "is a precompiled table of SentencePiece; a tokenizer of BERT's make was expected"
    // A byte beyond ASCII becomes two.
    if (type === 'ByteLevel' && ++counted.byteLevels > 2)
      return 'writes bytes as characters more than twice; once, and its decoder, were expected'
    if (type === 'Prepend' && String(prepend).length > LONGEST_PREFIX)
      return `puts ${String(prepend).length} characters before every text; at most ${LONGEST_PREFIX} were expected`
    for (const inner of Object.values(value)) {
      const problem = visit(inner)
      if (problem) return problem
    }
    if (type === 'Replace') {
      const from = Buffer.byteLength(String(pattern?.String ?? ''))
      const to = Buffer.byteLength(String(content ?? ''))
      if (from === 0 || to > from)
        return 'replaces text by longer text; a replacement of at most the same length was expected'
    }
    return undefined
  }
  return visit(root)
}

/** @throws UNSUPPORTED or BAD_FILE that names the file. */
export function checkTokenizerParts(source: string, json: Record<string, unknown>): void {
  const found = tokenizerProblem(json)
  if (!found) return
  throw new StrataError(found.unsupported ? 'UNSUPPORTED' : 'BAD_FILE', `${source}: ${found.problem}`, {
    details: { path: source },
  })
}
