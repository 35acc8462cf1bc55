/** Several tasks of one checkpoint, and vectors, asked about the same texts: what reads the same sequences is computed once. */
import { StrataError } from '../errors.js'
import { shownValue } from '../shown-value.js'
import type { EncodedText, EncodeInput } from '../text/index.js'
import { inputList, positive, type TextInput, textList, tokenLimit } from './check-arguments.js'
import { type Classification, classificationOf, layoutOf, type ScoringHead } from './classify.js'
import { checkWhole, EMBED_OPTIONS, type Embeddings, type EmbedOptions, embedQuestion, wholeLimit } from './embed.js'
import { type FoundTask, findTask } from './find-task.js'
import { type HeadRow, headQuestion } from './head-question.js'
import type { CallOptions, HeadOf, Session } from './loaded-parts.js'
import type { OptionKinds } from './own-arguments.js'
import { type ParsedSentence, parsedSentences, readSentences } from './parse.js'
import { charactersOf } from './serving/encode-texts.js'
import type { Question, Sequence } from './serving/question.js'
import { type TaggedWord, taggedTexts, tagWindows } from './tag.js'

export interface AskTasksOptions extends CallOptions {
  /** Names of tasks (or of their heads) that classify, score, rank, tag or parse. */
  tasks: readonly string[]
  /** Vectors of the texts as well, as {@link Encoder.embed} gives them. */
  embed?: Omit<EmbedOptions, 'signal'>
  /** Longest input in tokens; default: each task's own. */
  maxTokens?: number
  /** How many classes are listed, most probable first; default all. */
  topK?: number
}

// A call has one signal.
const { signal: _, ...ASKED_VECTORS } = EMBED_OPTIONS

/** See {@link AskTasksOptions}. */
export const ASK_TASKS_OPTIONS: OptionKinds<AskTasksOptions> = {
  signal: 'signal',
  tasks: 'any',
  embed: ASKED_VECTORS,
  maxTokens: 'any',
  topK: 'any',
}

/** What the tasks say, by the names that they were asked by; lists in input order. */
export interface TaskAnswers {
  /** Of tasks that classify, score or rank: as of classify. */
  classes: Record<string, Classification[]>
  /** Of tasks that tag. */
  tags: Record<string, TaggedWord[][]>
  /** Of tasks that parse. */
  parses: Record<string, ParsedSentence[]>
  /** With `embed`. */
  embeddings?: Embeddings
}

/** A task's way through the model, or that of the vectors: what is read, what is asked, and what becomes of the rows. */
interface Plan {
  question: Question<unknown>
  sequences: readonly Sequence[]
  finish(rows: readonly unknown[]): Promise<void> | void
}

/** Texts as tokens; what is laid out and cut alike has the same sequences. */
type Encode = (inputs: readonly EncodeInput[], layout: string, maxTokens: number) => Promise<EncodedText[]>

const KINDS = ['classifier', 'san', 'regressor', 'ranker', 'tagger', 'parser'] as const
type AskedHead = HeadOf<(typeof KINDS)[number]>

export async function ask(session: Session, texts: unknown, options: AskTasksOptions): Promise<TaskAnswers> {
  const { tasks: names, topK, embed } = options ?? {}
  if (!Array.isArray(names) || names.length === 0)
    throw new StrataError('BAD_ARGUMENT', `tasks came as ${shownValue(names)}, expected a list of names of tasks`)
  if (topK !== undefined) positive('topK', topK)
  const tasks = new Map([...new Set<string>(names)].map((name) => [name, findTask(session.parts, KINDS, name, 'ask')]))
  // Every task says what it cannot read before anything is computed.
  let inputs: readonly TextInput[] = embed ? textList(texts) : []
  for (const task of tasks.values()) inputs = readable(task, texts)
  const blocks = await session.inBlocks(inputs, charactersOf, (block, some, first) =>
    askBlock(block, some, first, tasks, options),
  )
  return blocks.reduce(appended)
}

/** The texts as the caller gave them, checked. Taggers and parsers read single texts. */
function readable(task: FoundTask<AskedHead>, texts: unknown): readonly TextInput[] {
  if (task.head.kind === 'tagger' || task.head.kind === 'parser') return inputList(texts, false, task.name)
  layoutOf(task, texts)
  return inputList(texts, undefined, task.name)
}

function appended(all: TaskAnswers, next: TaskAnswers): TaskAnswers {
  for (const [name, list] of Object.entries(next.classes)) all.classes[name].push(...list)
  for (const [name, list] of Object.entries(next.tags)) all.tags[name].push(...list)
  for (const [name, list] of Object.entries(next.parses)) all.parses[name].push(...list)
  if (all.embeddings && next.embeddings) {
    all.embeddings.vectors.push(...next.embeddings.vectors)
    all.embeddings.truncated.push(...next.embeddings.truncated)
    all.embeddings.tokenCount += next.embeddings.tokenCount
  }
  return all
}

async function askBlock(
  session: Session,
  inputs: readonly TextInput[],
  first: number,
  tasks: ReadonlyMap<string, FoundTask<AskedHead>>,
  options: AskTasksOptions,
): Promise<TaskAnswers> {
  const answers: TaskAnswers = { classes: {}, tags: {}, parses: {} }
  const encoded = new Map<string, Promise<EncodedText[]>>()
  const encode: Encode = (texts, layout, maxTokens) => {
    const key = `${layout} ${maxTokens}`
    const known = encoded.get(key) ?? session.encode(texts, { maxTokens })
    encoded.set(key, known)
    return known
  }
  const planned = [...tasks].map(([name, task]) => planOf(session, name, task, inputs, { ...options, encode }, answers))
  if (options.embed)
    planned.push(embedPlan(session, inputs as readonly string[], first, options.embed, encode, answers))
  await Promise.all(groupsOf(await Promise.all(planned)).map((group) => computeGroup(session, group)))
  return answers
}

async function planOf(
  session: Session,
  name: string,
  task: FoundTask<AskedHead>,
  inputs: readonly TextInput[],
  options: AskTasksOptions & { encode: Encode },
  answers: TaskAnswers,
): Promise<Plan> {
  const { head } = task
  const question = headQuestion(session.parts.model, head, task.saved?.adapter)
  const limit = tokenLimit(options.maxTokens ?? task.sequenceTokens, session.parts.model.config.encoder.maxPositions)
  if (head.kind === 'tagger') {
    const windows = await tagWindows(session, inputs as readonly string[], limit)
    const finish = async (rows: readonly HeadRow[]): Promise<void> => {
      answers.tags[name] = await taggedTexts({ ...task, head }, inputs.length, windows, rows)
    }
    return { question, sequences: windows, finish }
  }
  if (head.kind === 'parser') {
    const read = await readSentences(session, inputs as readonly string[], limit)
    const finish = async (rows: readonly HeadRow[]): Promise<void> => {
      answers.parses[name] = await parsedSentences({ ...task, head }, read, rows)
    }
    return { question, sequences: read.windows, finish }
  }
  const layout = task.saved?.hypothesisFirst ? 'second first' : 'as given'
  const encoded = await options.encode(layoutOf(task, inputs), layout, limit)
  const scoring: FoundTask<ScoringHead> = { ...task, head }
  const finish = (rows: readonly HeadRow[]): void => {
    answers.classes[name] = encoded.map(({ truncated }, index) =>
      classificationOf(scoring, { values: rows[index], truncated }, options.topK),
    )
  }
  return { question, sequences: encoded, finish }
}

async function embedPlan(
  session: Session,
  texts: readonly string[],
  first: number,
  options: Omit<EmbedOptions, 'signal'>,
  encode: Encode,
  answers: TaskAnswers,
): Promise<Plan> {
  const { model } = session.parts
  const question = embedQuestion(model, options)
  const limit = wholeLimit(session, options)
  const encoded = checkWhole(await encode(texts, 'as given', limit), limit, options, first)
  const finish = (vectors: readonly Float32Array[]): void => {
    answers.embeddings = {
      vectors: [...vectors],
      dimension: model.config.encoder.hiddenSize,
      tokenCount: encoded.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
      truncated: encoded.flatMap(({ truncated }, index) => (truncated ? [first + index] : [])),
    }
  }
  return { question, sequences: encoded, finish }
}

/** Plans that read the same sequences through the same adapter, taggers and parsers by like words. */
function groupsOf(plans: readonly Plan[]): Plan[][] {
  const groups: Plan[][] = []
  for (const plan of plans) {
    const group = groups.find((others) => others.every((other) => readsTheSame(other, plan)))
    if (group) group.push(plan)
    else groups.push([plan])
  }
  return groups
}

function readsTheSame(a: Plan, b: Plan): boolean {
  return (
    a.question.adapter === b.question.adapter &&
    (a.sequences === b.sequences || sameSequences(a.sequences, b.sequences))
  )
}

function sameSequences(a: readonly Sequence[], b: readonly Sequence[]): boolean {
  return (
    a.length === b.length &&
    a.every((sequence, index) => {
      const other = b[index]
      return (
        sameNumbers(sequence.tokenIds, other.tokenIds) &&
        sameNumbers(sequence.segmentIds, other.segmentIds) &&
        (!sequence.places || !other.places || sameNumbers(sequence.places, other.places))
      )
    })
  )
}

function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}

async function computeGroup(session: Session, group: readonly Plan[]): Promise<void> {
  // Of taggers and parsers, whose words' places are the same.
  const placed = group.find(({ sequences }) => sequences.some(({ places }) => places)) ?? group[0]
  const rows = await session.compute(
    group.map(({ question }) => question),
    placed.sequences,
  )
  for (const [place, plan] of group.entries()) await plan.finish(rows[place])
}
