/** The texts of labelled tasks, kind by kind, without their labels. */
import { RowTally, readConlluSentences, readSquad } from '../data/index.js'
import { StrataError } from '../errors.js'
import { isConlluName, sentenceText } from '../text/index.js'
import { splitBySeed } from './data-share.js'
import { LabelReader } from './label-reader.js'
import { hasTree, type ParsingTaskDefinition } from './parsing-task.js'
import { rankingEndings, readRankingQuestions, splitQuestions } from './ranking-questions.js'
import type { RankingTaskDefinition } from './ranking-task.js'
import { type SpanTaskDefinition, SQUAD_ENDINGS } from './span-task.js'
import { readWordLists } from './tagged-words.js'
import { TAGGING_ENDINGS, type TaggingTaskDefinition } from './tagging-task.js'
import { type ResolvedFiles, resolveTaskFiles } from './task-files.js'
import { describeTally, endingsOf, readTaskRows, type TaskRow } from './task-rows.js'
import type { TextTaskDefinition } from './text-definition.js'
import type { OpenTaskOptions, TaskDefinition, TaskKind } from './types.js'

/** The part of a task's options that decides its texts. */
export type TaskTextSource<D extends TaskDefinition = TaskDefinition> = Pick<
  OpenTaskOptions<D>,
  'definition' | 'name' | 'data' | 'maxBadShare' | 'devShare' | 'signal'
> & {
  /** Seed of the split of a single file: its held-out part is left out of the corpus as well. */
  seed: number
  /** Default: `train` alone. */
  splits?: readonly string[]
  /** Gets a sentence for each thing that the user should know. */
  notes: string[]
}

type Documents = AsyncGenerator<readonly string[]>

const READERS: Record<TaskKind, (source: TaskTextSource<any>) => Documents> = {
  classification: readTexts,
  regression: readTexts,
  ranking: readCandidates,
  span: readContexts,
  tagging: readSentences,
  parsing: readSentences,
}

/**
 * The paragraphs of one document after the other:
 * - a text is a document, a pair one of two paragraphs;
 * - a context of SQuAD files is a document, whether answers are cut out of it or its sentences are ranked;
 * - a ranking's question of a table and its candidates are the paragraphs of a document;
 * - of CoNLL-U files `# newdoc` begins a document, without it each sentence is one; its text is what the words and `SpaceAfter` spell.
 *   Lists of words are a document each, with spaces between them.
 *
 * Bad rows, and what opening the task would hold out of its one file, are left out.
 */
export function readTaskTexts(source: TaskTextSource): Documents {
  return READERS[source.definition.kind](source)
}

async function* readTexts(source: TaskTextSource<TextTaskDefinition>): AsyncGenerator<readonly string[]> {
  const { definition, name = definition.name, data, splits: wanted = ['train'], seed, devShare = 0.1 } = source
  const { splits, single } = resolveTaskFiles(name, data, endingsOf(definition), definition.files)
  const labels = new LabelReader(name, definition)
  let held: Set<number> | undefined
  if (single) {
    let count = 0
    for await (const rows of labelledRows(source, splits.get('train')!, labels)) count += rows.length
    held = new Set(splitBySeed(count, devShare, seed, `task ${name} (${data}): examples`).dev)
  }
  checkSplits(name, splits, wanted)
  for (const split of wanted) {
    let number = 0
    for await (const rows of labelledRows(source, splits.get(split)!, labels, source.notes)) {
      for (const { texts } of rows) if (!held?.has(number++)) yield texts
    }
  }
}

/** The rows that opening the task would use, in the same order. */
async function* labelledRows(
  source: TaskTextSource<TextTaskDefinition>,
  files: readonly string[],
  labels: LabelReader,
  notes?: string[],
): AsyncGenerator<TaskRow[]> {
  const { definition, name = definition.name, maxBadShare, signal } = source
  for (const file of files) {
    const tally = new RowTally(file)
    for await (const rows of readTaskRows({ definition, file, labels, collect: true, maxBadShare, signal, tally })) {
      if (signal?.aborted) throw new StrataError('ABORTED', `reading the texts of task ${name} was stopped`)
      yield rows.filter(({ label }) => label !== undefined)
    }
    const bad = describeTally(`corpus from ${name}`, tally)
    if (bad) notes?.push(bad)
  }
}

/** The contexts of SQuAD files; of one file those that the task trains on. */
async function* readContexts(source: TaskTextSource<SpanTaskDefinition>): AsyncGenerator<readonly string[]> {
  const { definition, name = definition.name, data, splits: wanted = ['train'], seed, devShare = 0.1, signal } = source
  const { splits, single } = resolveTaskFiles(name, data, SQUAD_ENDINGS, definition.files)
  checkSplits(name, splits, wanted)
  for (const split of wanted) {
    for (const file of splits.get(split)!) {
      if (signal?.aborted) throw new StrataError('ABORTED', `reading the texts of task ${name} was stopped`)
      const { noAnswer = false } = definition
      // As opening the task reads it, or the parts of one file would be others.
      const set = await readSquad(file, { maxBadShare: source.maxBadShare, noAnswer, scoring: single })
      const texts = [...new Set(set.questions.map(({ context }) => set.contexts[context].text))]
      const parts = single && splitBySeed(texts.length, devShare, seed, `task ${name} (${file}): contexts`)
      const kept = parts ? [...parts.train].map((index) => texts[index]) : texts
      for (const text of kept) yield [text]
    }
  }
}

/** Questions and candidates; of SQuAD files the contexts that the questions stand on. */
async function* readCandidates(source: TaskTextSource<RankingTaskDefinition>): Documents {
  const { definition, name = definition.name, data, splits: wanted = ['train'], seed, devShare = 0.1 } = source
  const { maxBadShare, signal, notes } = source
  const { splits, single } = resolveTaskFiles(name, data, rankingEndings(definition), definition.files)
  checkSplits(name, splits, wanted)
  for (const split of wanted) {
    for (const file of splits.get(split)!) {
      if (signal?.aborted) throw new StrataError('ABORTED', `reading the texts of task ${name} was stopped`)
      const request = { definition, file, split: `corpus from ${name}`, maxBadShare, signal, notes }
      const questions = await readRankingQuestions(request)
      const what = `task ${name} (${file}): questions or contexts`
      const kept = single ? splitQuestions(questions, devShare, seed, what).train : questions
      if (definition.question) for (const { question, candidates } of kept) yield [question, ...candidates]
      else for (const context of new Set(kept.map((question) => question.context!))) yield [context]
    }
  }
}

async function* readSentences(source: TaskTextSource<TaggingTaskDefinition | ParsingTaskDefinition>): Documents {
  const { definition, name = definition.name, data, splits: wanted = ['train'], seed, devShare = 0.1 } = source
  const { splits, single } = resolveTaskFiles(name, data, TAGGING_ENDINGS, definition.files)
  checkSplits(name, splits, wanted)
  for (const split of wanted) {
    for (const file of splits.get(split)!) {
      let held: Set<number> | undefined
      if (single) {
        let count = 0
        for await (const { counts } of sentencesOf(source, file, [])) if (counts) count++
        held = new Set(splitBySeed(count, devShare, seed, `task ${name} (${file}): sentences`).dev)
      }
      let number = 0
      let document: string[] = []
      for await (const { text, continues, counts } of sentencesOf(source, file, source.notes)) {
        if (!continues && document.length > 0) {
          yield document
          document = []
        }
        // What the task leaves out is held out by nobody.
        if (!counts || !held?.has(number++)) document.push(text)
      }
      if (document.length > 0) yield document
    }
  }
}

/**
 * The sentences of a file in order. `continues`: in the document of the sentence before; `counts`: opening the task would use it, so that it has
 * a number among those that a single file is split by.
 */
async function* sentencesOf(
  source: TaskTextSource<TaggingTaskDefinition | ParsingTaskDefinition>,
  file: string,
  notes: string[],
): AsyncGenerator<{ text: string; continues: boolean; counts: boolean }> {
  const { definition, name = definition.name, maxBadShare, signal } = source
  const tally = new RowTally(file)
  const options = { tally, maxBadShare, signal }
  const stop = (): void => {
    if (signal?.aborted) throw new StrataError('ABORTED', `reading the texts of task ${name} was stopped`)
  }
  if (isConlluName(file)) {
    let inDocument = false
    for await (const block of readConlluSentences(file, options)) {
      stop()
      for (const sentence of block) {
        const counts = definition.kind !== 'parsing' || hasTree(sentence)
        yield { text: sentenceText(sentence).text, continues: inDocument && !sentence.newDocument, counts }
        inDocument ||= sentence.newDocument !== undefined
      }
    }
  } else {
    for await (const block of readWordLists(file, definition as TaggingTaskDefinition, options)) {
      stop()
      for (const { words } of block) yield { text: words.join(' '), continues: false, counts: true }
    }
  }
  const bad = describeTally(`corpus from ${name}`, tally)
  if (bad) notes.push(bad)
}

function checkSplits(name: string, splits: ResolvedFiles['splits'], wanted: readonly string[]): void {
  const missing = wanted.find((split) => !splits.has(split))
  if (missing === undefined) return
  throw new StrataError(
    'BAD_ARGUMENT',
    `task ${name} has no split ${missing} for the corpus; there are ${[...splits.keys()].join(', ')}`,
    { details: { task: name, split: missing } },
  )
}
