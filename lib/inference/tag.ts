/** A tag for every word. */
import { StrataError } from '../errors.js'
import type { Tokenizer } from '../text/index.js'
import { tokenLimit } from './check-arguments.js'
import { type AskOptions, labelNames } from './classify.js'
import { findTask } from './find-task.js'
import { headScores, softmaxRow } from './head-scores.js'
import type { LoadedParts } from './loaded-parts.js'
import { packTexts } from './packed-texts.js'
import { windowPositions, windowsOfWords } from './word-windows.js'

export interface TaggedWord {
  word: string
  tag: string
  /** Probability. */
  score: number
  /** Place in the text in UTF-16 units; in a list of words, in the words joined by blanks. */
  start: number
  end: number
}

interface Word {
  word: string
  start: number
  end: number
  pieces: Int32Array
}

export async function tag(
  parts: LoadedParts,
  texts: string | readonly (string | readonly string[])[],
  options: AskOptions = {},
): Promise<TaggedWord[][]> {
  const { model, tokenizer, maxBatchTokens } = parts
  const task = findTask(parts, ['tagger'], options.task, 'tag')
  const limit = tokenLimit(options.maxTokens ?? task.sequenceTokens, model.config.encoder.maxPositions)
  const words = await wordsOf(tokenizer, texts)
  const windows = words.flatMap((list, text) => windowsOfWords(list, text, limit, tokenizer))
  const tags = labelNames(task, task.head.classes)
  const tagged = new Array<TaggedWord[]>(windows.length)
  for (const { batch, indices } of packTexts(windows, maxBatchTokens)) {
    if (options.signal?.aborted) throw new StrataError('ABORTED', 'the tagging was aborted by its signal')
    const positions = windowPositions(windows, indices, batch)
    const { values } = await headScores(model, batch, task.head, { adapter: task.saved?.adapter, positions })
    let row = 0
    for (const index of indices) {
      tagged[index] = windows[index].words.map(({ word, start, end }) => {
        const probabilities = softmaxRow(values, row++, tags.length)
        const best = probabilities.indexOf(Math.max(...probabilities))
        return { word, tag: tags[best], score: probabilities[best], start, end }
      })
    }
  }
  const results: TaggedWord[][] = words.map(() => [])
  windows.forEach(({ text }, index) => {
    results[text].push(...tagged[index])
  })
  return results
}

/** A text's words are those of the pre-tokeniser: white space and punctuation part them. Words that came as a list stay as they are. */
async function wordsOf(tokenizer: Tokenizer, texts: unknown): Promise<Word[][]> {
  const list = typeof texts === 'string' ? [texts] : texts
  if (!Array.isArray(list)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `texts came as ${typeof texts}, expected a string or a list of strings or of words`,
    )
  }
  return Promise.all(
    list.map(async (text: unknown, index) => {
      if (typeof text === 'string') return wordsOfText(tokenizer, text)
      if (Array.isArray(text) && text.every((word) => typeof word === 'string')) return givenWords(tokenizer, text)
      const came = text === null ? 'null' : Array.isArray(text) ? 'a list with other than strings' : typeof text
      throw new StrataError('BAD_ARGUMENT', `texts[${index}] came as ${came}, expected a string or a list of words`, {
        details: { index },
      })
    }),
  )
}

async function wordsOfText(tokenizer: Tokenizer, text: string): Promise<Word[]> {
  const [{ tokenIds, starts, ends }] = await tokenizer.encodeWithOffsets([text])
  const wordStarts = tokenizer.wordStarts(tokenIds)
  const words: Word[] = []
  for (let first = 0; first < tokenIds.length; ) {
    let next = first + 1
    while (next < tokenIds.length && !wordStarts[next]) next++
    const [start, end] = [starts[first], ends[next - 1]]
    words.push({ word: text.slice(start, end), start, end, pieces: tokenIds.subarray(first, next) })
    first = next
  }
  return words
}

async function givenWords(tokenizer: Tokenizer, words: readonly string[]): Promise<Word[]> {
  if (words.length === 0) return []
  const encoded = await tokenizer.encodeBatch(words, { addSpecialTokens: false })
  let start = 0
  return words.map((word, index) => {
    const { tokenIds } = encoded[index]
    // A word that the normaliser leaves nothing of keeps its place.
    const pieces = tokenIds.length > 0 ? tokenIds : Int32Array.of(tokenizer.specialTokens.unkId)
    const placed = { word, start, end: start + word.length, pieces }
    start += word.length + 1
    return placed
  })
}
