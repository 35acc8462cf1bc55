/** Token and pair probes as JSON lines: `{ split, words, spaceAfter, targets | pairs }`. */
import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { readLines } from '../../data/corpus-line-reader.js'
import { StrataError } from '../../errors.js'
import { MARK_OF_SPLIT } from './senteval-files.js'
import { type PairProbeExample, PROBE_SPLITS, type ProbeSplit, type TokenProbeExample } from './types.js'

const place = z.number().int().min(0)
const sentence = {
  split: z.enum(['tr', 'va', 'te']),
  words: z.array(z.string().min(1)).min(1),
  spaceAfter: z.array(z.boolean()),
}
const tokenLine = z.object({ ...sentence, targets: z.array(z.object({ word: place, label: place })).min(1) })
const pairLine = z.object({
  ...sentence,
  pairs: z.array(z.object({ first: place, second: place, label: place })).min(1),
})

type JsonLine = z.infer<typeof tokenLine> | z.infer<typeof pairLine>
type Examples = Record<ProbeSplit, (TokenProbeExample | PairProbeExample)[]>

/** Throws NOT_FOUND, BAD_FILE, and BAD_DATA with file and line. */
export async function readJsonExamples(
  file: string,
  kind: 'token' | 'pair',
  classes: readonly string[],
): Promise<Examples> {
  const examples: Examples = { train: [], dev: [], test: [] }
  const schema: z.ZodType<JsonLine> = kind === 'token' ? tokenLine : pairLine
  const seen = new Map<ProbeSplit, Set<number>>(PROBE_SPLITS.map((split) => [split, new Set()]))
  let line = 0
  for await (const { lines, firstLine } of readLines(file)) {
    if (!isUtf8(lines)) throw bad(file, firstLine, 'invalid UTF-8 in this line or a later one; build the file again')
    line = firstLine - 1
    const texts = lines.toString('utf8').split('\n')
    if (texts.at(-1) === '') texts.pop()
    for (const text of texts) {
      line++
      if (text.trim() === '') continue
      const { split: mark, ...example } = parseLine(file, line, text, schema)
      const split = PROBE_SPLITS.find((of) => MARK_OF_SPLIT[of] === mark)!
      const problem = problemOf(example, classes.length)
      if (problem) throw bad(file, line, problem)
      for (const { label } of labelled(example)) seen.get(split)!.add(label)
      examples[split].push(example)
    }
  }
  for (const split of PROBE_SPLITS) {
    if (examples[split].length === 0) throw bad(file, line, `the file ends without ${split} examples`)
  }
  const missing = classes.findIndex((_, label) => !seen.get('train')!.has(label))
  if (missing >= 0) throw bad(file, line, `the file ends without a training example of class ${classes[missing]}`)
  return examples
}

function parseLine(file: string, line: number, text: string, schema: z.ZodType<JsonLine>): JsonLine {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw bad(file, line, `is no JSON (${(error as Error).message.slice(0, 100)}); one example a line was expected`)
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw bad(file, line, `is no example (${issue.path.join('.') || 'it'}: ${issue.message})`)
}

function labelled(example: TokenProbeExample | PairProbeExample): { label: number }[] {
  return 'targets' in example ? example.targets : example.pairs
}

function problemOf(example: TokenProbeExample | PairProbeExample, classes: number): string | undefined {
  const { words, spaceAfter } = example
  if (spaceAfter.length !== words.length) return `${words.length} words and ${spaceAfter.length} entries in spaceAfter`
  const places =
    'targets' in example
      ? example.targets.map(({ word }) => word)
      : example.pairs.flatMap(({ first, second }) => [first, second])
  const outside = places.find((word) => word >= words.length)
  if (outside !== undefined)
    return `word ${outside} of ${words.length}; a place from 0 to ${words.length - 1} was expected`
  const unknown = labelled(example).find(({ label }) => label >= classes)
  return unknown ? `label ${unknown.label}; a class from 0 to ${classes - 1} was expected` : undefined
}

function bad(file: string, line: number, problem: string): StrataError {
  return new StrataError('BAD_DATA', `${file}:${line}: ${problem}`, { details: { path: file, line } })
}
