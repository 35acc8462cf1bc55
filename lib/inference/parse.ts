/** The dependency tree of every sentence. */
import { decodeParses, type Parse, wholeParse } from '../tasks/index.js'
import { splitWords, type Tokenizer } from '../text/index.js'
import { tokenLimit, wordsList } from './check-arguments.js'
import { type AskOptions, labelNames } from './classify.js'
import { type FoundTask, findTask } from './find-task.js'
import { type HeadRow, headQuestion } from './head-question.js'
import type { HeadOf, Session } from './loaded-parts.js'
import { mapInTurns, Turns } from './pause.js'
import { encodeTexts, estimateTokens } from './serving/encode-texts.js'
import { charactersOfWords } from './tag.js'
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
  const blocks = await session.inBlocks(wordLists(sentences), charactersOfWords, async (block, words) => {
    const windows = await parseWindows(block, words, limit)
    const [rows] = await block.compute([question], windows)
    return parsedSentences(task, words, windows, rows)
  })
  return blocks.length === 1 ? blocks[0] : blocks.flat()
}

/** The sentences' words in sequences of at most `limit` tokens. */
export async function parseWindows(
  session: Session,
  sentences: readonly (readonly string[])[],
  limit: number,
): Promise<ParseWindow[]> {
  const { tokenizer } = session.parts
  await session.announce(estimateTokens(sentences.map(charactersOfWords)))
  const pieces = await piecesOf(tokenizer, sentences)
  const piecesOfWord = (form: string): { pieces: Int32Array } => ({ pieces: pieces.get(form)! })
  const turns = new Turns()
  const windows: ParseWindow[][] = []
  for (const [text, words] of sentences.entries())
    windows.push(await windowsOfWords(words.map(piecesOfWord), text, limit, tokenizer, turns))
  return windows.flat()
}

type ParseWindow = Window<{ pieces: Int32Array }>

/** The trees that the head's answers say. */
export async function parsedSentences(
  task: FoundTask<HeadOf<'parser'>>,
  sentences: readonly (readonly string[])[],
  windows: readonly ParseWindow[],
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
  return sentences.map((words, text) => ({ words: [...words], ...wholeParse(byText[text], words.length) }))
}

/** Throws BAD_ARGUMENT naming the place of what is neither a text nor a list of words. */
export function wordLists(sentences: unknown): string[][] {
  return wordsList('sentences', sentences, (text) =>
    typeof text === 'string' ? splitWords(text).map(({ form }) => form) : text,
  )
}

/** Pieces by word; one that the normaliser leaves nothing of is [UNK]. */
async function piecesOf(
  tokenizer: Tokenizer,
  sentences: readonly (readonly string[])[],
): Promise<Map<string, Int32Array>> {
  const forms = [...new Set(sentences.flat())]
  const encoded = await encodeTexts(tokenizer, forms, { addSpecialTokens: false })
  const unknown = Int32Array.of(tokenizer.specialTokens.unkId)
  return new Map(forms.map((form, i) => [form, encoded[i].tokenIds.length > 0 ? encoded[i].tokenIds : unknown]))
}

function tagNames(saved: readonly string[] | undefined, count: number): readonly string[] | undefined {
  if (count === 0) return undefined
  return saved ?? Array.from({ length: count }, (_, number) => `TAG_${number}`)
}
