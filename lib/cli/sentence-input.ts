import { readConllu } from '../data/index.js'
import {
  ConlluParser,
  type ConlluSentence,
  isConlluName,
  lineOfConllu,
  MOST_UNDECIDED_LINES,
  RawSentences,
} from '../text/index.js'
import { inputLines } from './input-lines.js'

export interface SentenceInput {
  /** CoNLL-U, or text with a paragraph a line, also gzipped; - is stdin. */
  input: string
  /** `auto` goes by the name, else by the first line that tells it. */
  from: 'auto' | 'conllu' | 'text'
}

/** The sentences of CoNLL-U or of raw text, one by one in bounded memory. */
export async function* inputSentences({ input, from }: SentenceInput): AsyncGenerator<ConlluSentence> {
  if (input !== '-' && (from === 'conllu' || (from === 'auto' && isConlluName(input)))) {
    yield* readConllu(input, { tolerant: true })
  } else if (from === 'text') yield* textSentences(inputLines(input))
  else {
    const stream = inputLines(input, { keepCarriageReturns: true })
    const { isConllu, lines } = from === 'conllu' ? { isConllu: true, lines: stream } : await decided(stream)
    yield* isConllu ? conlluSentences(lines, input === '-' ? 'stdin' : input) : textSentences(lines)
  }
}

/** Reads to the first line that tells what a stream is; `lines` are all of it. */
async function decided(stream: AsyncGenerator<string>): Promise<{ isConllu: boolean; lines: AsyncIterable<string> }> {
  const held: string[] = []
  let told: boolean | undefined
  while (told === undefined && held.length < MOST_UNDECIDED_LINES) {
    const { value, done } = await stream.next()
    if (done) break
    held.push(value)
    told = lineOfConllu(value)
  }
  const lines = async function* (): AsyncGenerator<string> {
    try {
      yield* held
      yield* stream
    } finally {
      await stream.return(undefined)
    }
  }
  return { isConllu: told === true, lines: lines() }
}

/** CR LF stays with the sentence, which is written with the line ends that it came with. */
async function* conlluSentences(lines: AsyncIterable<string>, source: string): AsyncGenerator<ConlluSentence> {
  const parser = new ConlluParser(source, { tolerant: true })
  for await (const line of lines) {
    const sentence = parser.push(line)
    if (sentence) yield sentence
  }
  const last = parser.finish()
  if (last) yield last
}

async function* textSentences(lines: AsyncIterable<string>): AsyncGenerator<ConlluSentence> {
  const raw = new RawSentences()
  for await (const line of lines) yield* raw.push(line.endsWith('\r') ? line.slice(0, -1) : line)
}
