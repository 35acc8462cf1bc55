/** Rows of ranking tasks: questions with their candidates, out of tables of pairs or SQuAD files. */
import { RowTally, readSquad, readTable, tableFormatOf } from '../data/index.js'
import { splitBySeed } from './data-share.js'
import { type CandidateQuestion, sentencePairs } from './question-candidates.js'
import type { RankingTaskDefinition } from './ranking-task.js'
import { SQUAD_ENDINGS } from './span-task.js'

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
export function splitQuestions<Q extends CandidateQuestion>(
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

/** A question's rows, collected. */
interface Group {
  question: string
  candidates: string[]
  rights: number[]
  line: number
  labels: number
}

async function readPairs(request: RankingRequest): Promise<CandidateQuestion[]> {
  const { definition, file, split, unlabelled = false, maxBadShare, signal, notes } = request
  const { question, candidate, label, group, positive = ['1'], negative = ['0'], noLabel = [], delimiter } = definition
  const columns = [question!, candidate!, { ...label!, optional: unlabelled || label!.optional }]
  if (group) columns.push(group)
  const tally = new RowTally(file)
  const groups = new Map<string, Group>()
  const format = definition.format ?? tableFormatOf(file)
  const header = definition.header ?? columns.some(({ names }) => names !== undefined)
  for await (const block of readTable({
    source: file,
    format,
    delimiter,
    header,
    columns,
    maxBadShare,
    tally,
    signal,
  })) {
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
      const key = shared ?? text
      let entry = groups.get(key)
      if (!entry) {
        entry = { question: text, candidates: [], rights: [], line, labels: 0 }
        groups.set(key, entry)
      }
      if (mark !== undefined) entry.labels++
      if (mark !== undefined && positive.includes(mark)) entry.rights.push(entry.candidates.length)
      entry.candidates.push(answer)
    }
  }
  tally.check(maxBadShare ?? 0.05)
  if (tally.bad > 0) {
    notes.push(`${split}: ${tally.bad} of ${tally.rows} rows cannot be used and are left out:\n  ${tally.shown()}`)
  }
  return usableQuestions([...groups.values()], split, unlabelled, notes)
}

/** The questions with one right candidate among several; all of a set without labels. */
function usableQuestions(
  all: readonly Group[],
  split: string,
  unlabelled: boolean,
  notes: string[],
): CandidateQuestion[] {
  const plain = ({ question, candidates, line }: Group, right: number): CandidateQuestion => ({
    question,
    candidates,
    right,
    line,
  })
  if (unlabelled && all.every(({ labels }) => labels === 0)) return all.map((entry) => plain(entry, -1))
  const usable = all.filter(({ candidates, rights }) => rights.length === 1 && candidates.length > 1)
  if (usable.length < all.length) {
    const none = all.filter(({ rights }) => rights.length === 0).length
    const several = all.filter(({ rights }) => rights.length > 1).length
    notes.push(
      `${split}: ${all.length - usable.length} of ${all.length} questions are left out: ${none} without a right candidate, ${several} with several, ${all.length - usable.length - none - several} without a wrong one`,
    )
  }
  return usable.map((entry) => plain(entry, entry.rights[0]))
}
