/** A tag for every word. */
import type { Tokenizer, TokenOffsets } from '../text/index.js'
import { tokenLimit, wordsList } from './check-arguments.js'
import { type AskOptions, labelNames } from './classify.js'
import { type FoundTask, findTask } from './find-task.js'
import { type HeadRow, headQuestion } from './head-question.js'
import { softmaxRow } from './head-scores.js'
import type { HeadOf, Session } from './loaded-parts.js'
import { mapInTurns, Turns } from './pause.js'
import { estimateTokens } from './serving/encode-texts.js'
import { piecesOfWords, WORDS_A_LOOK } from './word-pieces.js'
import { type Window, windowsOfWords } from './word-windows.js'

export interface TaggedWord {
  word: string
  tag: string
  /** Probability. */
  score: number
  /** Place in the text in UTF-16 units; in a list of words, in the words joined by blanks. */
  start: number
  end: number
}

/** A word and the pieces that stand for it. */
export interface Word {
  word: string
  start: number
  end: number
  pieces: Int32Array
}

/** A text, or its words. */
export type WordsInput = string | readonly string[]

export async function tag(session: Session, texts: unknown, options: AskOptions = {}): Promise<TaggedWord[][]> {
  const task = findTask(session.parts, ['tagger'], options.task, 'tag')
  const question = headQuestion(session.parts.model, task.head, task.saved?.adapter)
  const limit = tokenLimit(options.maxTokens ?? task.sequenceTokens, session.parts.model.config.encoder.maxPositions)
  const blocks = await session.inBlocks(wordsInputs(texts), charactersOfWords, async (block, inputs) => {
    const windows = await tagWindows(block, inputs, limit)
    const [rows] = await block.compute([question], windows)
    return taggedTexts(task, inputs.length, windows, rows)
  })
  return blocks.length === 1 ? blocks[0] : blocks.flat()
}

/** The texts' words in sequences of at most `limit` tokens. */
export async function tagWindows(
  session: Session,
  inputs: readonly WordsInput[],
  limit: number,
): Promise<Window<Word>[]> {
  const { tokenizer } = session.parts
  await session.announce(estimateTokens(inputs.map(charactersOfWords)))
  const texts = inputs.filter((input) => typeof input === 'string')
  const lists = inputs.filter((input) => typeof input !== 'string')
  const turns = new Turns()
  const placed = texts.length > 0 ? await tokenizer.encodeWithOffsets(texts) : []
  const pieces = await piecesOfWords(tokenizer, lists, turns)
  const windows: Window<Word>[][] = []
  let next = 0
  // One after the other: side by side all of them would go on in the same turn of the event loop.
  for (const [text, input] of inputs.entries()) {
    const words =
      typeof input === 'string'
        ? await wordsOfText(tokenizer, input, placed[next++], turns)
        : await givenWords(input, pieces, turns)
    windows.push(await windowsOfWords(words, text, limit, tokenizer, turns))
  }
  return windows.flat()
}

/** The words of N texts with the tags that the head chose for them. */
export async function taggedTexts(
  task: FoundTask<HeadOf<'tagger'>>,
  texts: number,
  windows: readonly Window<Word>[],
  rows: readonly HeadRow[],
): Promise<TaggedWord[][]> {
  const tags = labelNames(task, task.head.classes)
  const tagged = await mapInTurns(windows, ({ words }, window) =>
    words.map(({ word, start, end }, row): TaggedWord => {
      const probabilities = softmaxRow(rows[window], row, tags.length)
      const best = probabilities.indexOf(Math.max(...probabilities))
      return { word, tag: tags[best], score: probabilities[best], start, end }
    }),
  )
  const results = Array.from({ length: texts }, (): TaggedWord[] => [])
  windows.forEach(({ text }, window) => {
    for (const word of tagged[window]) results[text].push(word)
  })
  return results
}

export function charactersOfWords(input: WordsInput): number {
  return typeof input === 'string' ? input.length : input.reduce((sum, word) => sum + word.length + 1, 0)
}

/** Throws BAD_ARGUMENT naming the place of what is neither a text nor a list of words. */
function wordsInputs(texts: unknown): WordsInput[] {
  return wordsList<WordsInput>('texts', texts, (text) => text)
}

/** A text's words are those of the pre-tokeniser: white space and punctuation part them. */
async function wordsOfText(
  tokenizer: Tokenizer,
  text: string,
  { tokenIds, starts, ends }: TokenOffsets,
  turns: Turns,
): Promise<Word[]> {
  const wordStarts = tokenizer.wordStarts(tokenIds)
  const words: Word[] = []
  for (let first = 0; first < tokenIds.length; ) {
    if (words.length % WORDS_A_LOOK === 0) await turns.next()
    let next = first + 1
    while (next < tokenIds.length && !wordStarts[next]) next++
    const [start, end] = [starts[first], ends[next - 1]]
    words.push({ word: text.slice(start, end), start, end, pieces: tokenIds.subarray(first, next) })
    first = next
  }
  return words
}

/** Words that came as a list stay as they are. */
async function givenWords(
  words: readonly string[],
  pieces: ReadonlyMap<string, Int32Array>,
  turns: Turns,
): Promise<Word[]> {
  const placed: Word[] = []
  let start = 0
  for (const [index, word] of words.entries()) {
    if (index % WORDS_A_LOOK === 0) await turns.next()
    placed.push({ word, start, end: start + word.length, pieces: pieces.get(word)! })
    start += word.length + 1
  }
  return placed
}
