import { readConllu } from '../data/index.js'
import { ConlluParser, type ConlluSentence, RawSentences } from '../text/index.js'
import { inputLines } from './input-lines.js'

export interface SentenceInput {
  /** CoNLL-U (also .gz), or text with a paragraph a line; - is stdin. */
  input: string
  /** `auto` goes by the name .conllu, or by the first line of stdin. */
  from: 'auto' | 'conllu' | 'text'
}

/** A usual comment, or a row. */
const CONLLU_LINE = /^(?:#\s*(?:newdoc|newpar)\b|#\s*(?:sent_id|text|generator|global\.columns)\s*=|\d+(?:[-.]\d+)?\t)/

/** The sentences of CoNLL-U or of raw text, one by one in bounded memory. */
export async function* inputSentences({ input, from }: SentenceInput): AsyncGenerator<ConlluSentence> {
  const named = /\.conllu(?:\.gz)?$/i.test(input)
  if (input !== '-' && (from === 'conllu' || (from === 'auto' && named))) {
    yield* readConllu(input, { tolerant: true })
    return
  }
  let isConllu = from === 'conllu' ? true : from === 'text' || input !== '-' ? false : undefined
  const parser = new ConlluParser('stdin', { tolerant: true })
  const raw = new RawSentences()
  for await (const line of inputLines(input)) {
    if (isConllu === undefined && line.trim() !== '') isConllu = CONLLU_LINE.test(line)
    if (!isConllu) yield* raw.push(line)
    else {
      const sentence = parser.push(line)
      if (sentence) yield sentence
    }
  }
  const last = parser.finish()
  if (last) yield last
}
