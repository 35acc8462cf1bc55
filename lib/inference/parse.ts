/** The dependency tree of every sentence. */
import { decodeParses, type Parse, wholeParse } from '../tasks/index.js'
import { eachWord } from '../text/index.js'
import { tokenLimit, wordsList } from './check-arguments.js'
import { type AskOptions, labelNames } from './classify.js'
import { type FoundTask, findTask } from './find-task.js'
import { type HeadRow, headQuestion } from './head-question.js'
import type { HeadOf, Session } from './loaded-parts.js'
import { mapInTurns, Turns } from './pause.js'
import { estimateTokens } from './serving/encode-texts.js'
import { charactersOfWords, type WordsInput } from './tag.js'
import { piecesOfWords, WORDS_A_LOOK } from './word-pieces.js'
import { type Window, windowsOfWords } from './word-windows.js'

/** A sentence of W words and its tree. */
export interface ParsedSentence extends Parse {
  /** (W) */
  words: string[]
}

export async function parse(session: Session, sentences: unknown, options: AskOptions = {}): Promise<ParsedSentence[]> {
  const task = findTask(session.parts, ['parser'], options.task, 'parse')
  const question = headQuestion(session.parts.model, task.head, task.saved?.adapter)
  const limit = tokenLimit(options.maxTokens ?? task.sequenceTokens, session.parts.model.config.encoder.maxPositions)
  const inputs = wordsList<WordsInput>('sentences', sentences, (text) => text)
  const blocks = await session.inBlocks(inputs, charactersOfWords, async (block, some) => {
    const read = await readSentences(block, some, limit)
    const [rows] = await block.compute([question], read.windows)
    return parsedSentences(task, read, rows)
  })
  return blocks.length === 1 ? blocks[0] : blocks.flat()
}

/** Sentences as words, and these in sequences. */
export interface ReadSentences {
  words: readonly (readonly string[])[]
  windows: readonly ParseWindow[]
}

/** The sentences' words in sequences of at most `limit` tokens. A call that is refused is not split into words. */
export async function readSentences(
  session: Session,
  sentences: readonly WordsInput[],
  limit: number,
): Promise<ReadSentences> {
  const { tokenizer } = session.parts
  await session.announce(estimateTokens(sentences.map(charactersOfWords)))
  const turns = new Turns()
  const words: (readonly string[])[] = []
  for (const sentence of sentences) {
    words.push(typeof sentence === 'string' ? await wordsOf(sentence, turns) : sentence)
  }
  const pieces = await piecesOfWords(tokenizer, words, turns)
  const piecesOfWord = (form: string): { pieces: Int32Array } => ({ pieces: pieces.get(form)! })
  const windows: ParseWindow[][] = []
  for (const [text, list] of words.entries())
    windows.push(await windowsOfWords(list.map(piecesOfWord), text, limit, tokenizer, turns))
  return { words, windows: windows.flat() }
}

async function wordsOf(sentence: string, turns: Turns): Promise<string[]> {
  const words: string[] = []
  await turns.next()
  for (const { form } of eachWord(sentence)) {
    if (words.push(form) % WORDS_A_LOOK === 0) await turns.next()
  }
  return words
}

type ParseWindow = Window<{ pieces: Int32Array }>

/** The trees that the head's answers say. */
export async function parsedSentences(
  task: FoundTask<HeadOf<'parser'>>,
  { words: sentences, windows }: ReadSentences,
  rows: readonly HeadRow[],
): Promise<ParsedSentence[]> {
  const names = {
    relations: labelNames(task, task.head.classes),
    tags: tagNames(task.saved?.upos, task.head.tags ?? 0),
  }
  const parses = await mapInTurns(windows, ({ words }, window): Parse => {
    const values = rows[window]
    return decodeParses({ shape: [values.length / 2, 2], values }, [words.length], names)[0]
  })
  const byText: Parse[][] = sentences.map(() => [])
  windows.forEach(({ text }, window) => {
    byText[text].push(parses[window])
  })
  return mapInTurns(sentences, (words, text) => ({ words: [...words], ...wholeParse(byText[text], words.length) }))
}

function tagNames(saved: readonly string[] | undefined, count: number): readonly string[] | undefined {
  if (count === 0) return undefined
  return saved ?? Array.from({ length: count }, (_, number) => `TAG_${number}`)
}
