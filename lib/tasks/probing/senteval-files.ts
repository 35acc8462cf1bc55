/**
 * SentEval's own probing files (Conneau & Kiela 2018, data/probing): one example a line, `tr|va|te TAB label TAB sentence`, the sentence
 * as words with spaces between them. Our sentence probes are written in the same layout.
 */
import { isUtf8 } from 'node:buffer'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { readLines } from '../../data/corpus-line-reader.js'
import { fileError, StrataError } from '../../errors.js'
import { normalisedText } from './sentence.js'
import { PROBE_SPLITS, type ProbeSplit, type SentenceProbeSet } from './types.js'

/** Task by SentEval's file name (without .txt). */
export const SENTEVAL_FILES: Readonly<Record<string, string>> = {
  sentence_length: 'SentLen',
  word_content: 'WC',
  tree_depth: 'TreeDepth',
  top_constituents: 'TopConst',
  bigram_shift: 'BShift',
  past_present: 'Tense',
  subj_number: 'SubjNum',
  obj_number: 'ObjNum',
  odd_man_out: 'SOMO',
  coordination_inversion: 'CoordInv',
}

const SPLIT_MARKS: Readonly<Record<string, ProbeSplit>> = { tr: 'train', va: 'dev', te: 'test' }
export const MARK_OF_SPLIT: Readonly<Record<ProbeSplit, string>> = { train: 'tr', dev: 'va', test: 'te' }

interface RawExample {
  text: string
  label: string
  line: number
}

/**
 * Reads one file. Classes are the labels of the training part, numbers by value, others by the alphabet; `classes` gives them instead.
 * CR LF, blank lines, further columns and texts that occur in two splits are counted in the notes.
 *
 * Throws NOT_FOUND, BAD_FILE, and BAD_DATA with file and line: fewer than three columns, an unknown split, an empty sentence, invalid
 * UTF-8, a label that training lacks, one class only, a split without examples or with fewer than classes.
 */
export async function readSentEvalFile(
  file: string,
  name: string,
  options: { classes?: readonly string[]; signal?: AbortSignal } = {},
): Promise<SentenceProbeSet> {
  const { raw, notes } = await readRaw(file, options.signal)
  const trained = new Set(raw.train.map(({ label }) => label))
  const classes = options.classes ? [...options.classes] : [...trained].sort(byValue)
  checkClasses(file, raw, classes, trained)
  const labels = new Map(classes.map((label, index) => [label, index]))
  const examples = (split: ProbeSplit) => raw[split].map(({ text, label }) => ({ text, label: labels.get(label)! }))
  const splits = { train: examples('train'), dev: examples('dev'), test: examples('test') }
  return { name, kind: 'sentence', classes, source: basename(file), notes: [...notes, ...overlapNote(raw)], splits }
}

/** The probing tasks of a folder, by SentEval's file names or by ours (`SentLen.txt`); `tasks` chooses some. Throws NOT_FOUND. */
export async function readSentEval(
  directory: string,
  options: { tasks?: readonly string[]; signal?: AbortSignal } = {},
): Promise<SentenceProbeSet[]> {
  const files = sentEvalFiles(directory)
  const wanted = options.tasks ?? [...files.keys()]
  const sets: SentenceProbeSet[] = []
  for (const task of wanted) {
    const file = files.get(task)
    if (file === undefined) {
      throw new StrataError(
        'NOT_FOUND',
        `${directory} has no file of task ${task}; there are ${[...files.keys()].join(', ')}`,
        { details: { path: directory, task } },
      )
    }
    const set = await readSentEvalFile(file, task, options)
    sets.push({ ...set, source: `SentEval's file ${set.source}` })
  }
  return sets
}

/** Files of the tasks that the folder holds. Throws NOT_FOUND when there is none. */
export function sentEvalFiles(directory: string): Map<string, string> {
  let there: string[]
  try {
    there = readdirSync(directory)
  } catch (error) {
    throw fileError(error, directory, "read SentEval's files")
  }
  const files = new Map<string, string>()
  for (const [stem, task] of Object.entries(SENTEVAL_FILES)) {
    const found = [`${stem}.txt`, `${stem}.txt.gz`, `${task}.txt`].find((name) => there.includes(name))
    if (found) files.set(task, join(directory, found))
  }
  if (files.size === 0) {
    throw new StrataError(
      'NOT_FOUND',
      `${directory} holds none of SentEval's probing files (${Object.keys(SENTEVAL_FILES).join('.txt, ')}.txt); there are ${there.slice(0, 10).join(', ') || 'no files'}`,
      { details: { path: directory } },
    )
  }
  return files
}

async function readRaw(
  file: string,
  signal?: AbortSignal,
): Promise<{ raw: Record<ProbeSplit, RawExample[]>; notes: string[] }> {
  const raw: Record<ProbeSplit, RawExample[]> = { train: [], dev: [], test: [] }
  let [crlf, blank, further] = [0, 0, 0]
  for await (const { lines, firstLine } of readLines(file, { signal })) {
    const valid = isUtf8(lines)
    let line = firstLine - 1
    for (let start = 0; start < lines.length; ) {
      const feed = lines.indexOf(10, start)
      const bytes = lines.subarray(start, feed < 0 ? lines.length : feed)
      start += bytes.length + 1
      line++
      if (!valid && !isUtf8(bytes)) throw bad(file, line, 'invalid UTF-8; convert the file')
      let text = bytes.toString('utf8')
      if (text.endsWith('\r')) {
        text = text.slice(0, -1)
        crlf++
      }
      if (text.trim() === '') {
        blank++
        continue
      }
      const cells = text.split('\t')
      if (cells.length < 3) {
        throw bad(
          file,
          line,
          `${cells.length} column${cells.length === 1 ? '' : 's'}; split, label and sentence were expected with tabs between them`,
        )
      }
      if (cells.length > 3) further++
      const [mark, label] = cells
      const split = Object.hasOwn(SPLIT_MARKS, mark) ? SPLIT_MARKS[mark] : undefined
      if (!split) throw bad(file, line, `split ${JSON.stringify(mark.slice(0, 20))}; tr, va or te was expected`)
      const sentence = cells[cells.length - 1].trim()
      if (sentence === '') throw bad(file, line, 'the sentence is empty; words were expected in the last column')
      if (label === '') throw bad(file, line, 'the label is empty; a class was expected in column 2')
      raw[split].push({ text: sentence, label, line })
    }
  }
  const notes: string[] = []
  const count = (number: number, what: string): void => {
    if (number > 0) notes.push(`${number.toLocaleString('en-US')} ${what}`)
  }
  count(crlf, 'lines end in CR LF; read as LF')
  count(blank, 'blank lines were passed over')
  count(further, 'lines have more than three columns; the last one is the sentence')
  return { raw, notes }
}

function checkClasses(
  file: string,
  raw: Record<ProbeSplit, RawExample[]>,
  classes: readonly string[],
  trained: ReadonlySet<string>,
): void {
  for (const split of PROBE_SPLITS) {
    if (raw[split].length > 0) continue
    const last = Math.max(1, ...PROBE_SPLITS.flatMap((of) => raw[of].at(-1)?.line ?? 1))
    throw bad(
      file,
      last,
      `the file ends without ${split} examples; lines that begin with ${MARK_OF_SPLIT[split]} were expected`,
    )
  }
  const [first] = raw.train
  if (classes.length < 2) {
    throw bad(
      file,
      first.line,
      `all training examples are of one class, ${JSON.stringify(classes[0])}; at least two were expected`,
    )
  }
  for (const split of PROBE_SPLITS) {
    for (const { label, line } of raw[split]) {
      if (trained.has(label) && classes.includes(label)) continue
      const shown = `${classes.slice(0, 20).join(', ')}${classes.length > 20 ? ', …' : ''}`
      throw bad(
        file,
        line,
        `class ${JSON.stringify(label.slice(0, 40))} does not occur in training; ${shown} were expected`,
      )
    }
    if (raw[split].length >= classes.length) continue
    throw bad(
      file,
      raw[split].at(-1)!.line,
      `${raw[split].length} ${split} examples for ${classes.length} classes; at least one a class was expected`,
    )
  }
  const lacking = classes.find((label) => !trained.has(label))
  if (lacking !== undefined) {
    throw bad(file, first.line, `class ${JSON.stringify(lacking)} has no training example; at least one was expected`)
  }
}

function overlapNote(raw: Record<ProbeSplit, RawExample[]>): string[] {
  const trained = new Set(raw.train.map(({ text }) => normalisedText(text)))
  const tuned = new Set(raw.dev.map(({ text }) => normalisedText(text)))
  const shared =
    raw.dev.filter(({ text }) => trained.has(normalisedText(text))).length +
    raw.test.filter(({ text }) => trained.has(normalisedText(text)) || tuned.has(normalisedText(text))).length
  return shared > 0 ? [`${shared.toLocaleString('en-US')} dev and test sentences also stand in an earlier split`] : []
}

function byValue(left: string, right: string): number {
  const [a, b] = [Number(left), Number(right)]
  if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b
  return left < right ? -1 : Number(left > right)
}

function bad(file: string, line: number, problem: string): StrataError {
  return new StrataError('BAD_DATA', `${file}:${line}: ${problem}`, { details: { path: file, line } })
}
