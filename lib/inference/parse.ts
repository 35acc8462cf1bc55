/** The dependency tree of every sentence. */
import { StrataError } from '../errors.js'
import type { Scores } from '../model/index.js'
import { decodeParses, type Parse, wholeParse } from '../tasks/index.js'
import { splitWords, type Tokenizer } from '../text/index.js'
import { tokenLimit } from './check-arguments.js'
import { type AskOptions, labelNames } from './classify.js'
import { findTask } from './find-task.js'
import { headScores } from './head-scores.js'
import type { LoadedParts } from './loaded-parts.js'
import { packTexts } from './packed-texts.js'
import { windowPositions, windowsOfWords } from './word-windows.js'

/** A sentence of W words and its tree. */
export interface ParsedSentence extends Parse {
  /** (W) */
  words: string[]
}

export async function parse(
  parts: LoadedParts,
  sentences: string | readonly (string | readonly string[])[],
  options: AskOptions = {},
): Promise<ParsedSentence[]> {
  const { model, tokenizer, maxBatchTokens } = parts
  const task = findTask(parts, ['parser'], options.task, 'parse')
  const limit = tokenLimit(options.maxTokens ?? task.sequenceTokens, model.config.encoder.maxPositions)
  const words = wordLists(sentences)
  const pieces = await piecesOf(tokenizer, words)
  const windows = words.flatMap((list, text) =>
    windowsOfWords(
      list.map((form) => ({ pieces: pieces.get(form)! })),
      text,
      limit,
      tokenizer,
    ),
  )
  const names = {
    relations: labelNames(task, task.head.classes),
    tags: tagNames(task.saved?.upos, task.head.tags ?? 0),
  }
  const parsed = new Array<Parse>(windows.length)
  const batches = packTexts(windows, maxBatchTokens)
  const ask = (index: number): Promise<Scores> => {
    const { batch, indices } = batches[index]
    const positions = windowPositions(windows, indices, batch)
    return headScores(model, batch, task.head, { adapter: task.saved?.adapter, positions })
  }
  let next = batches.length > 0 ? ask(0) : undefined
  for (let index = 0; index < batches.length; index++) {
    if (options.signal?.aborted) throw new StrataError('ABORTED', 'the parsing was aborted by its signal')
    const answers = await next!
    // The model computes the next batch while the trees of this one are found; if it fails, its error is told in its turn.
    next = index + 1 < batches.length ? ask(index + 1) : undefined
    next?.catch(() => {})
    const { indices } = batches[index]
    const counts = indices.map((window) => windows[window].words.length)
    decodeParses(answers, counts, names).forEach((parse, row) => {
      parsed[indices[row]] = parse
    })
  }
  const byText: Parse[][] = words.map(() => [])
  windows.forEach(({ text }, window) => {
    byText[text].push(parsed[window])
  })
  return words.map((list, text) => ({ words: list, ...wholeParse(byText[text], list.length) }))
}

function wordLists(sentences: unknown): string[][] {
  const list = typeof sentences === 'string' ? [sentences] : sentences
  if (!Array.isArray(list)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `sentences came as ${typeof sentences}, expected a string or a list of strings or of words`,
    )
  }
  return list.map((sentence: unknown, index) => {
    if (typeof sentence === 'string') return splitWords(sentence).map(({ form }) => form)
    if (Array.isArray(sentence) && sentence.every((word) => typeof word === 'string')) return sentence
    const came = Array.isArray(sentence) ? 'a list with other than strings' : typeof sentence
    throw new StrataError('BAD_ARGUMENT', `sentences[${index}] came as ${came}, expected a string or a list of words`, {
      details: { index },
    })
  })
}

/** Pieces by word; one that the normaliser leaves nothing of is [UNK]. */
async function piecesOf(
  tokenizer: Tokenizer,
  sentences: readonly (readonly string[])[],
): Promise<Map<string, Int32Array>> {
  const forms = [...new Set(sentences.flat())]
  const encoded = forms.length === 0 ? [] : await tokenizer.encodeBatch(forms, { addSpecialTokens: false })
  const unknown = Int32Array.of(tokenizer.specialTokens.unkId)
  return new Map(forms.map((form, i) => [form, encoded[i].tokenIds.length > 0 ? encoded[i].tokenIds : unknown]))
}

function tagNames(saved: readonly string[] | undefined, count: number): readonly string[] | undefined {
  if (count === 0) return undefined
  return saved ?? Array.from({ length: count }, (_, number) => `TAG_${number}`)
}
