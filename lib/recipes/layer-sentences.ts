/** The sentences that a layer analysis reads. */
import { readDocuments } from '../data/index.js'
import { StrataError } from '../errors.js'
import type { ReadSentence } from '../evaluation/index.js'
import { splitSentences, type Tokenizer } from '../text/index.js'
import { expandFiles } from './run-text.js'

export interface PlacedSentence {
  text: string
  place: string
}

/** The first sentences of some text files, with the document's place. */
export async function firstSentences(
  corpus: string | readonly string[],
  count: number,
  signal?: AbortSignal,
): Promise<PlacedSentence[]> {
  const sentences: PlacedSentence[] = []
  for await (const { paragraphs, source, line } of readDocuments({ inputs: await expandFiles(corpus), signal })) {
    for (const text of paragraphs.flatMap(splitSentences)) sentences.push({ text, place: `${source}:${line}` })
    if (sentences.length >= count) break
  }
  return sentences.slice(0, count)
}

export interface EncodedSentences {
  /** By tokenizer: one a kept sentence, [CLS] … [SEP]. */
  sentences: ReadSentence[][]
  notes: string[]
}

/** Cuts sentences with each tokenizer. Those without a token for one of them are left out of all; the notes count them. */
export async function encodeSentences(
  texts: readonly PlacedSentence[],
  tokenizers: readonly Tokenizer[],
  maxTokens: number,
): Promise<EncodedSentences> {
  const inputs = texts.map(({ text }) => text)
  const encoded = await Promise.all(tokenizers.map((tokenizer) => tokenizer.encodeBatch(inputs, { maxTokens })))
  const kept = [...texts.keys()].filter((index) => encoded.every((list) => list[index].tokenIds.length > 2))
  if (kept.length === 0) throw new StrataError('BAD_DATA', 'the text has no sentence with a token; text was expected')
  const cut = kept.filter((index) => encoded.some((list) => list[index].truncated)).length
  const told: [number, string][] = [
    [texts.length - kept.length, 'sentences without a token were left out'],
    [cut, `sentences were cut at ${maxTokens} tokens`],
  ]
  return {
    sentences: encoded.map((list) => kept.map((index) => ({ ...list[index], place: texts[index].place }))),
    notes: told.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`),
  }
}
