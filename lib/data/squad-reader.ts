/**
 * SQuAD's JSON, versions 1.1 and 2.0 (Rajpurkar et al. 2016, arXiv 1606.05250; 2018, arXiv 1806.03822), and the same as JSON lines or
 * Parquet (squad-rows.ts).
 */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { fileError, StrataError } from '../errors.js'
import { codePointStarts } from '../text/token-offsets.js'
import { BadRow, hasSquadRows, readSquadRows } from './squad-rows.js'

export interface SquadAnswer {
  text: string
  /** Where it begins in the context, in UTF-16 units (the file counts code points, as Python does); -1: unknown, see {@link SquadQuestion.flaw}. */
  start: number
}

export interface SquadQuestion {
  id: string
  question: string
  /** Index into the set's contexts. */
  context: number
  /** Empty when the context has no answer (2.0), or in a set without answers. */
  answers: SquadAnswer[]
  /** Number of the question in its file, from 1. */
  number: number
  /** Why it is not fit for training; only where `scoring` looks past it. */
  flaw?: string
}

export interface SquadSet {
  file: string
  /** As the file says: `1.1`, `v2.0` …; undefined when it says nothing. */
  version: string | undefined
  contexts: { title: string; text: string }[]
  questions: SquadQuestion[]
  /** False for a set without answers. */
  labelled: boolean
  /** Questions whose context has no answer. */
  withoutAnswer: number
  /** All entries of the file, the bad ones included. */
  entries: number
  bad: number
  /** The first bad ones, with the question's id. */
  problems: string[]
}

export interface SquadReadOptions {
  /** Questions without an answer are taken (2.0). Default: when the file's version begins with 2 or a question has `is_impossible`. */
  noAnswer?: boolean
  /** A set for predictions: where no question of the file has an answer, none is asked for. Default false. */
  unlabelled?: boolean
  /**
   * The set is scored, which the official scripts do by the texts alone: a question with a blank text, with answers although
   * `is_impossible`, or with answers that are blank or do not stand at their `answer_start` is no bad one and says so as its `flaw`. Default false.
   */
  scoring?: boolean
  /** Largest share of bad questions before BAD_DATA; default 0.05. */
  maxBadShare?: number
}

/** How many bad questions are shown. */
const SHOWN_PROBLEMS = 5

/**
 * Reads a SQuAD file (gzipped when its name ends in .gz), or rows in JSON lines or Parquet. A question is bad, counted and left out when its id or text is missing or the id came before, its context
 * is missing or empty, it has no answer where one is needed, or an answer's text does not stand where `answer_start` says (counted in code
 * points; UTF-16 units, as JavaScript programs write them, are taken where only those fit).
 * Throws NOT_FOUND, BAD_FILE (no SQuAD JSON) and BAD_DATA (no question, too many bad ones).
 */
export async function readSquad(file: string, options: SquadReadOptions = {}): Promise<SquadSet> {
  const { maxBadShare = 0.05 } = options
  if (!(maxBadShare >= 0 && maxBadShare <= 1)) {
    throw new StrataError('BAD_ARGUMENT', `maxBadShare is ${maxBadShare}; a share from 0 to 1 was expected`)
  }
  const rows = hasSquadRows(file)
  const { articles, version } = rows
    ? { articles: await readSquadRows(file), version: undefined }
    : await readArticles(file)
  const noAnswer = options.noAnswer ?? (/^v?2/.test(version ?? '') || hasImpossible(articles))
  const unlabelled = options.unlabelled === true && !hasAnswers(articles)
  const reader = new Reader({ ...options, noAnswer, unlabelled })
  articles.forEach((article, index) => {
    const paragraphs = isRecord(article) ? article.paragraphs : undefined
    if (!Array.isArray(paragraphs)) throw badFile(file, `article ${index + 1} has no list "paragraphs"`)
    const { title, line } = article as Record<string, unknown>
    paragraphs.forEach((paragraph, place) => {
      const where = rows ? `the rows from line ${line}` : `paragraph ${place + 1} of article ${index + 1}`
      reader.paragraph(paragraph, typeof title === 'string' ? title : '', where)
    })
  })
  const { contexts, questions, entries, bad, problems } = reader
  if (bad > maxBadShare * entries) {
    const more = bad > problems.length ? `\n  and ${bad - problems.length} more` : ''
    throw new StrataError(
      'BAD_DATA',
      `${file}: ${bad} of ${entries} questions cannot be used, at most ${100 * maxBadShare} % may be (maxBadShare):\n  ${problems.join('\n  ')}${more}`,
      { details: { path: file, bad, rows: entries } },
    )
  }
  if (questions.length === 0) {
    throw new StrataError('BAD_DATA', `${file} has no question; at least one was expected`, { details: { path: file } })
  }
  const withoutAnswer = unlabelled ? 0 : questions.filter(({ answers }) => answers.length === 0).length
  return { file, version, contexts, questions, labelled: !unlabelled, withoutAnswer, entries, bad, problems }
}

class Reader {
  readonly contexts: SquadSet['contexts'] = []
  readonly questions: SquadQuestion[] = []
  readonly problems: string[] = []
  entries = 0
  bad = 0
  readonly #ids = new Set<string>()
  readonly #options: SquadReadOptions

  constructor(options: SquadReadOptions) {
    this.#options = options
  }

  paragraph(paragraph: unknown, title: string, where: string): void {
    const { context, qas } = isRecord(paragraph) ? paragraph : {}
    if (!Array.isArray(qas)) {
      this.entries++
      this.#reject(where, 'no list "qas"')
      return
    }
    const usable = typeof context === 'string' && context.trim() !== ''
    const units = usable ? codePointStarts(context) : undefined
    qas.forEach((entry: unknown, place) => {
      const number = ++this.entries
      const fields = isRecord(entry) ? entry : {}
      const name =
        typeof fields.id === 'string' && fields.id !== ''
          ? `question ${fields.id}`
          : `question ${place + 1} of ${where}`
      const read =
        entry instanceof BadRow
          ? entry.problem
          : usable
            ? this.#question(fields, context, units)
            : 'its context is missing or empty'
      if (typeof read === 'string') this.#reject(name, read)
      else {
        this.#ids.add(read.id)
        this.questions.push({ ...read, context: this.contexts.length, number })
      }
    })
    if (usable) this.contexts.push({ title, text: context })
  }

  /** The question, or what is wrong with it. */
  #question(
    { id, question, answers, is_impossible: impossible }: Record<string, unknown>,
    context: string,
    units: number[] | undefined,
  ): Pick<SquadQuestion, 'id' | 'question' | 'answers' | 'flaw'> | string {
    let flaw: string | undefined
    const spoils = (what: string): boolean => {
      flaw ??= what
      return !this.#options.scoring
    }
    const read = (answers: SquadAnswer[]) => ({
      id: id as string,
      question: question as string,
      answers,
      ...(flaw && { flaw }),
    })
    if (typeof id !== 'string' || id === '') return 'no text "id"'
    if (this.#ids.has(id)) return 'the id came before'
    if (typeof question !== 'string') return 'no text "question"'
    if (question.trim() === '' && spoils('no text "question"')) return flaw!
    if (this.#options.unlabelled) return read([])
    const list = answers ?? (impossible === true ? [] : undefined)
    if (!Array.isArray(list)) return 'no list "answers"'
    if (list.length === 0) {
      return this.#options.noAnswer ? read([]) : 'no answer, which only SQuAD 2.0 allows'
    }
    if (impossible === true && spoils('"is_impossible" is true, yet there are answers')) return flaw!
    const found: SquadAnswer[] = []
    for (const answer of list as unknown[]) {
      const { text, answer_start: start } = isRecord(answer) ? answer : {}
      if (typeof text !== 'string') return 'an answer without text'
      if (text.trim() === '' && spoils('an answer without text')) return flaw!
      const place = placeOf(context, units, text, start)
      if (typeof place === 'string' && spoils(place)) return place
      found.push({ text, start: typeof place === 'string' ? -1 : place })
    }
    return read(found)
  }

  #reject(name: string, problem: string): void {
    this.bad++
    if (this.problems.length < SHOWN_PROBLEMS) this.problems.push(`${name}: ${problem}`)
  }
}

/** The answer's place in UTF-16 units, or what is wrong with the one that the file gives. */
function placeOf(context: string, units: number[] | undefined, text: string, start: unknown): number | string {
  if (typeof start !== 'number' || !Number.isInteger(start)) return `answer ${quote(text)} without "answer_start"`
  const place = units ? units[start] : start
  if (start >= 0 && place !== undefined && context.startsWith(text, place)) return place
  if (start >= 0 && context.startsWith(text, start)) return start
  const there = context.slice(start, start + text.length)
  return `answer ${quote(text)} does not stand at ${start}, where the context has ${quote(there)}`
}

async function readArticles(file: string): Promise<{ articles: unknown[]; version: string | undefined }> {
  const root = await readJson(file)
  const articles = isRecord(root) ? root.data : undefined
  if (!isRecord(root) || !Array.isArray(articles)) {
    throw badFile(file, 'has no list "data"; SQuAD JSON {"version", "data": [{"title", "paragraphs"}]} was expected')
  }
  return { articles, version: root.version === undefined ? undefined : String(root.version) }
}

async function readJson(file: string): Promise<unknown> {
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (error) {
    throw fileError(error, file, 'read the questions')
  }
  try {
    if (file.endsWith('.gz')) bytes = gunzipSync(bytes)
    return JSON.parse(bytes.toString('utf8').replace(/^\ufeff/, ''))
  } catch (error) {
    throw badFile(file, `is no JSON (${(error as Error).message.slice(0, 200)})`)
  }
}

function hasImpossible(articles: readonly any[]): boolean {
  return hasQuestion(articles, (entry) => entry?.is_impossible === true)
}

function hasAnswers(articles: readonly any[]): boolean {
  return hasQuestion(articles, (entry) => Array.isArray(entry?.answers) && entry.answers.length > 0)
}

function hasQuestion(articles: readonly any[], is: (entry: any) => boolean): boolean {
  const list = (value: unknown): any[] => (Array.isArray(value) ? value : [])
  return articles.some((article) => list(article?.paragraphs).some((paragraph) => list(paragraph?.qas).some(is)))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}

function badFile(file: string, what: string): StrataError {
  return new StrataError('BAD_FILE', `${file} ${what}`, { details: { path: file } })
}
