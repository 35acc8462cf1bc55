/**
 * SQuAD's questions as rows of a table: the layout of the Hugging Face copies, for a user's own data as well. A row has `id`,
 * `question`, `context` and `answers`: `{ text: […], answer_start: […] }` or a list of `{ text, answer_start }`; `title` is optional.
 */
import { openParquet } from './parquet-records.js'
import { type RecordBlock, readTextRecords } from './table-formats.js'

const COLUMNS = ['id', 'title', 'context', 'question', 'answers', 'is_impossible']

/** A row that is none. */
export class BadRow {
  constructor(readonly problem: string) {}
}

interface RowParagraph {
  context: unknown
  qas: (Record<string, unknown> | BadRow)[]
}

export interface RowArticle {
  title: unknown
  paragraphs: RowParagraph[]
  /** Of its first row. */
  line: number
}

/** Whether a file's name tells rows instead of SQuAD's JSON. */
export function hasSquadRows(file: string): boolean {
  return /\.(jsonl|ndjson|parquet)(\.gz)?$/i.test(file)
}

/** The rows as articles of SQuAD's JSON: those in a row on one context are its paragraph. Throws NOT_FOUND and BAD_FILE. */
export async function readSquadRows(file: string): Promise<RowArticle[]> {
  const articles: RowArticle[] = []
  let last: RowParagraph | undefined
  for await (const { records } of recordsOf(file)) {
    for (const record of records) {
      const { line } = record
      if ('problem' in record) {
        const qas = [new BadRow(record.problem)]
        articles.push({ title: undefined, paragraphs: [{ context: undefined, qas }], line })
        last = undefined
        continue
      }
      const { title, context, ...fields } = (record as { fields: Record<string, unknown> }).fields
      if (!last || last.context !== context) {
        last = { context, qas: [] }
        articles.push({ title, paragraphs: [last], line })
      }
      const answers = answersOf(fields.answers)
      const isEmpty = Array.isArray(answers) && answers.length === 0
      last.qas.push({ ...fields, answers, ...(isEmpty && { is_impossible: true }) })
    }
  }
  return articles
}

async function* recordsOf(file: string): AsyncGenerator<RecordBlock> {
  if (!/\.parquet$/i.test(file)) {
    yield* readTextRecords(file, 'jsonl')
    return
  }
  await using table = await openParquet(file)
  yield* table.records(COLUMNS.filter((column) => table.columns.includes(column)))
}

/** A list of `{ text, answer_start }`; undefined where there is none. */
function answersOf(value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value
  const { text, answer_start: starts } = (value ?? {}) as Record<string, unknown>
  if (!Array.isArray(text) || !Array.isArray(starts) || text.length !== starts.length) return undefined
  // Parquet holds 64-bit numbers.
  return text.map((one, index) => ({
    text: one,
    answer_start: typeof starts[index] === 'bigint' ? Number(starts[index]) : starts[index],
  }))
}
