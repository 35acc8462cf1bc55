/** Rows of ranking tasks: questions with their candidates, out of tables of pairs or SQuAD files. */
import { RowTally, readSquad, readTable, tableFormatOf } from '../data/index.js'
import { splitBySeed } from './data-share.js'
import { type CandidateQuestion, sentencePairs } from './question-candidates.js'
import type { RankingTaskDefinition } from './ranking-task.js'
import { SQUAD_ENDINGS } from './span-task.js'
import { describeTally } from './task-rows.js'

export interface RankingRequest {
  definition: RankingTaskDefinition
  file: string
  /** For notes. */
  split: string
  /** Labels may be missing. */
  unlabelled?: boolean
  maxBadShare?: number
  signal?: AbortSignal
  /** Gets a sentence for each kind of question or row that is left out. */
  notes: string[]
}

/** Endings of the files that a definition reads, in the order in which a folder is searched. */
export function rankingEndings(definition: RankingTaskDefinition): readonly string[] {
  return definition.question ? ['tsv', 'csv', 'jsonl', 'ndjson', 'parquet'] : SQUAD_ENDINGS
}

/** The usable questions of one file. Throws what `readSquad` and `readTable` throw. */
export async function readRankingQuestions(request: RankingRequest): Promise<CandidateQuestion[]> {
  return request.definition.question ? readPairs(request) : readQuestionsOfSquad(request)
}

/** Parts questions by seed. Those of one context, wherever it comes again, share their candidates: they stay on one side. */
export function splitQuestions<Q extends Pick<CandidateQuestion, 'context' | 'line'>>(
  questions: readonly Q[],
  devShare: number,
  seed: number,
  what: string,
): { train: Q[]; dev: Q[] } {
  const source = ({ context, line }: Q): string | number => context ?? line
  const sources = [...new Set(questions.map(source))]
  const held = new Set(Array.from(splitBySeed(sources.length, devShare, seed, what).dev, (index) => sources[index]))
  return {
    train: questions.filter((question) => !held.has(source(question))),
    dev: questions.filter((question) => held.has(source(question))),
  }
}

async function readQuestionsOfSquad(request: RankingRequest): Promise<CandidateQuestion[]> {
  const { file, split, maxBadShare, notes } = request
  const squad = await readSquad(file, { maxBadShare })
  if (squad.bad > 0) {
    notes.push(
      `${split}: ${squad.bad} of ${squad.entries} questions of ${file} cannot be used:\n  ${squad.problems.join('\n  ')}`,
    )
  }
  const { questions, leftOut } = sentencePairs(squad)
  const causes = [
    [leftOut.crossing, 'whose answer crosses the border of two sentences'],
    [leftOut.single, 'whose paragraph has one sentence only'],
    [leftOut.withoutAnswer, 'without an answer'],
  ] as const
  for (const [count, cause] of causes) {
    if (count > 0) notes.push(`${split}: ${count} of ${squad.questions.length} questions ${cause} are left out`)
  }
  return questions
}

/** What a row says of its candidate. */
export type CandidateMark = 'wrong' | 'right' | 'none'

/** A row of a table of pairs. */
export interface PairRow {
  line: number
  question: string
  candidate: string
  /** What the rows of a question have in common. */
  key: string
  mark: CandidateMark
}

/**
 * Reads a table of pairs in blocks. Rows with a blank question, candidate or group, or with a label of another kind, are bad rows of the
 * tally, which is checked behind the last one. Throws what `readTable` throws.
 */
export async function* readPairRows(
  { definition, file, unlabelled = false, maxBadShare, signal }: Omit<RankingRequest, 'split' | 'notes'>,
  tally: RowTally,
): AsyncGenerator<PairRow[]> {
  const { question, candidate, label, group, positive = ['1'], negative = ['0'], noLabel = [], delimiter } = definition
  const columns = [question!, candidate!, { ...label!, optional: unlabelled || label!.optional }]
  if (group) columns.push(group)
  const format = definition.format ?? tableFormatOf(file)
  const header = definition.header ?? columns.some(({ names }) => names !== undefined)
  const table = { source: file, format, delimiter, header, columns, maxBadShare, tally, signal }
  for await (const block of readTable(table)) {
    const rows: PairRow[] = []
    for (const { line, cells } of block) {
      const [text, answer, cell, shared] = cells
      const mark = cell === undefined || noLabel.includes(cell.trim()) ? undefined : cell.trim()
      const problem =
        !text?.trim() || !answer?.trim()
          ? 'the question or the candidate is blank'
          : mark === undefined && !unlabelled
            ? 'no label'
            : mark !== undefined && !positive.includes(mark) && !negative.includes(mark)
              ? `label "${mark.slice(0, 60)}"; ${[...positive, ...negative].join(', ')} were expected`
              : group && !shared?.trim()
                ? 'the group is blank'
                : undefined
      if (problem !== undefined || !text || !answer) {
        tally.reject(line, problem!)
        continue
      }
      const said = mark === undefined ? 'none' : positive.includes(mark) ? 'right' : 'wrong'
      rows.push({ line, question: text, candidate: answer, key: shared ?? text, mark: said })
    }
    yield rows
  }
  tally.check(maxBadShare ?? 0.05)
}

/** A question's rows, counted. */
export interface QuestionCounts {
  candidates: number
  rights: number
  /** Rows that say whether they are right. */
  labels: number
}

/** Numbers of the questions of one file with one right candidate among several, or all of a set without labels; and what to tell of the others. */
export function usableQuestions(
  all: readonly QuestionCounts[],
  split: string,
  unlabelled: boolean,
): { usable: number[]; note?: string } {
  const numbers = [...all.keys()]
  if (unlabelled && all.every(({ labels }) => labels === 0)) return { usable: numbers }
  const usable = numbers.filter((question) => all[question].rights === 1 && all[question].candidates > 1)
  if (usable.length === all.length) return { usable }
  const none = all.filter(({ rights }) => rights === 0).length
  const several = all.filter(({ rights }) => rights > 1).length
  const left = all.length - usable.length
  return {
    usable,
    note: `${split}: ${left} of ${all.length} questions are left out: ${none} without a right candidate, ${several} with several, ${left - none - several} without a wrong one`,
  }
}

async function readPairs(request: RankingRequest): Promise<CandidateQuestion[]> {
  const { file, split, unlabelled = false, notes } = request
  const tally = new RowTally(file)
  const groups = new Map<string, CandidateQuestion & { rights: number; labels: number }>()
  for await (const block of readPairRows(request, tally)) {
    for (const { line, question, candidate, key, mark } of block) {
      let entry = groups.get(key)
      if (!entry) {
        entry = { question, candidates: [], right: -1, line, rights: 0, labels: 0 }
        groups.set(key, entry)
      }
      if (mark !== 'none') entry.labels++
      if (mark === 'right' && entry.rights++ === 0) entry.right = entry.candidates.length
      entry.candidates.push(candidate)
    }
  }
  const told = describeTally(split, tally)
  if (told) notes.push(told)
  const all = [...groups.values()]
  const counts = all.map(({ candidates, rights, labels }) => ({ candidates: candidates.length, rights, labels }))
  const { usable, note } = usableQuestions(counts, split, unlabelled)
  if (note) notes.push(note)
  return usable.map((number) => {
    const { question, candidates, right, line } = all[number]
    return { question, candidates, right, line }
  })
}
