/**
 * Probing tasks as files: a sentence probe in SentEval's layout (`SentLen.txt`), token and pair probes as JSON lines, and `probes.json`,
 * which says what they are. The same sets give the same bytes.
 */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { fileError, StrataError } from '../../errors.js'
import { replaceOutput } from '../../output-file.js'
import { readJsonExamples } from './json-examples.js'
import { probeName } from './probe-tasks.js'
import { MARK_OF_SPLIT, readSentEvalFile } from './senteval-files.js'
import { PROBE_SPLITS, type ProbeSet, type ProbeSplit } from './types.js'

const INDEX = 'probes.json'

const indexSchema = z.object({
  format: z.literal(1),
  content: z.literal('probing tasks'),
  seed: z.number().int().optional(),
  tasks: z.array(
    z.object({
      name: z.string().regex(/^[\w-]+$/),
      kind: z.enum(['sentence', 'token', 'pair']),
      file: z.string().regex(/^[\w-]+\.(?:txt|jsonl)$/),
      classes: z.array(z.string()).min(2),
      sizes: z.object({ train: z.number().int(), dev: z.number().int(), test: z.number().int() }),
      source: z.string(),
      notes: z.array(z.string()),
    }),
  ),
})

type IndexedTask = z.infer<typeof indexSchema>['tasks'][number]

/** Examples of a split: sentences, targets or pairs. */
export function probeSize(set: ProbeSet, split: ProbeSplit): number {
  if (set.kind === 'sentence') return set.splits[split].length
  if (set.kind === 'token') return set.splits[split].reduce((sum, { targets }) => sum + targets.length, 0)
  return set.splits[split].reduce((sum, { pairs }) => sum + pairs.length, 0)
}

/**
 * Writes the sets into a folder, which is made. Other files in it stay; `probes.json` comes last, so that a folder with it is whole.
 * Throws IO_ERROR, READ_ONLY or DISK_FULL.
 */
export async function writeProbeSets(
  directory: string,
  sets: readonly ProbeSet[],
  details: { seed?: number } = {},
): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
    await rm(join(directory, INDEX), { force: true })
    const tasks: IndexedTask[] = []
    for (const set of sets) {
      const file = `${set.name}.${set.kind === 'sentence' ? 'txt' : 'jsonl'}`
      await replaceOutput(join(directory, file), set.kind === 'sentence' ? sentenceLines(set) : jsonLines(set))
      const { name, kind, classes, source, notes } = set
      const sizes = { train: probeSize(set, 'train'), dev: probeSize(set, 'dev'), test: probeSize(set, 'test') }
      tasks.push({ name, kind, file, classes, sizes, source, notes })
    }
    const index = { format: 1, content: 'probing tasks', ...details, tasks }
    await replaceOutput(join(directory, INDEX), `${JSON.stringify(index, null, 2)}\n`)
  } catch (error) {
    throw fileError(error, directory, 'write the probing tasks')
  }
}

function sentenceLines({ classes, splits }: Extract<ProbeSet, { kind: 'sentence' }>): string {
  return PROBE_SPLITS.map((split) =>
    splits[split].map(({ text, label }) => `${MARK_OF_SPLIT[split]}\t${classes[label]}\t${text}\n`).join(''),
  ).join('')
}

function jsonLines({ splits }: Extract<ProbeSet, { kind: 'token' | 'pair' }>): string {
  return PROBE_SPLITS.map((split) =>
    splits[split].map((example) => `${JSON.stringify({ split: MARK_OF_SPLIT[split], ...example })}\n`).join(''),
  ).join('')
}

/**
 * Reads what {@link writeProbeSets} wrote; `names` chooses tasks. Throws NOT_FOUND, BAD_FILE on a `probes.json` that is none, and
 * BAD_DATA with file and line on bad examples or when a file does not hold what `probes.json` says.
 */
export async function readProbeSets(directory: string, names?: readonly string[]): Promise<ProbeSet[]> {
  const index = await readIndex(directory)
  const known = index.tasks.map(({ name }) => name)
  const wanted = names?.map((name) => probeName(name, known)) ?? known
  const sets: ProbeSet[] = []
  for (const name of wanted) sets.push(await readSet(directory, index.tasks[known.indexOf(name)]))
  return sets
}

/** Names of the tasks in the folder. */
export async function listProbeSets(directory: string): Promise<string[]> {
  return (await readIndex(directory)).tasks.map(({ name }) => name)
}

async function readIndex(directory: string): Promise<z.infer<typeof indexSchema>> {
  const path = join(directory, INDEX)
  const text = await readFile(path, 'utf8').catch((error) => {
    throw fileError(error, path, 'read the probing tasks')
  })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new StrataError('BAD_FILE', `${path} is no JSON (${(error as Error).message}); build the tasks again`, {
      cause: error,
      details: { path },
    })
  }
  const parsed = indexSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new StrataError(
    'BAD_FILE',
    `${path} describes no probing tasks (${issue.path.join('.') || 'it'}: ${issue.message}); a folder written by probes build was expected`,
    { details: { path } },
  )
}

async function readSet(directory: string, task: IndexedTask): Promise<ProbeSet> {
  const { name, kind, classes, source, notes } = task
  const path = join(directory, task.file)
  const read: ProbeSet =
    kind === 'sentence'
      ? await readSentEvalFile(path, name, { classes })
      : ({ name, kind, classes, splits: await readJsonExamples(path, kind, classes) } as ProbeSet)
  const set = { ...read, source, notes } as ProbeSet
  for (const split of PROBE_SPLITS) {
    const size = probeSize(set, split)
    if (size === task.sizes[split]) continue
    throw new StrataError(
      'BAD_DATA',
      `${path} holds ${size} ${split} examples, ${INDEX} says ${task.sizes[split]}; the file was cut or changed: build it again`,
      { details: { path, split } },
    )
  }
  return set
}
