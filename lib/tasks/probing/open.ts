/** Probing tasks from whatever there is: files built before, SentEval's own, a treebank, plain text. */
import { StrataError } from '../../errors.js'
import { type BuildProbesOptions, buildProbeSets } from './build.js'
import { listProbeSets, readProbeSets } from './probe-files.js'
import { BUILDABLE_PROBES, probeName } from './probe-tasks.js'
import { readSentEval, SENTEVAL_FILES, sentEvalFiles } from './senteval-files.js'
import type { ProbeSet } from './types.js'

export interface OpenProbesOptions extends BuildProbesOptions {
  /** Folder with SentEval's probing files; they are read as they are, whatever sizes are asked for. */
  senteval?: string
  /** Folder written by `writeProbeSets`. */
  probes?: string
}

/**
 * Opens probing tasks. A task is taken from `probes` where that has it, else from `senteval`, else it is built. Without `tasks`: all
 * that the folders hold and, of a treebank or corpus, all that can be built.
 * Throws what {@link readProbeSets}, {@link readSentEval} and {@link buildProbeSets} throw, and BAD_ARGUMENT on a task that none has.
 */
export async function openProbeSets(options: OpenProbesOptions): Promise<ProbeSet[]> {
  const { probes, senteval, treebank = [], corpus = [] } = options
  const builds = treebank.length > 0 || corpus.length > 0
  if (probes === undefined && senteval === undefined && !builds) {
    throw new StrataError(
      'BAD_ARGUMENT',
      'no data was given; a treebank, a corpus, a senteval folder or a probes folder was expected',
    )
  }
  const written = probes === undefined ? [] : await listProbeSets(probes)
  const original = senteval === undefined ? [] : [...sentEvalFiles(senteval).keys()]
  const buildable = BUILDABLE_PROBES.filter(
    ({ needs }) => treebank.length > 0 || (corpus.length > 0 && needs === 'text'),
  )
  const available = [...new Set([...written, ...original, ...buildable.map(({ name }) => name)])]
  const wanted = options.tasks ? [...new Set(options.tasks.map((name) => probeName(name, available)))] : available
  const fromWritten = wanted.filter((name) => written.includes(name))
  const fromOriginal = wanted.filter((name) => !written.includes(name) && original.includes(name))
  const toBuild = wanted.filter((name) => !written.includes(name) && !original.includes(name))
  const sets: ProbeSet[] = []
  if (fromWritten.length > 0) sets.push(...(await readProbeSets(probes!, fromWritten)))
  if (fromOriginal.length > 0) {
    sets.push(...(await readSentEval(senteval!, { tasks: fromOriginal, signal: options.signal })))
  }
  if (toBuild.length > 0) sets.push(...(await buildProbeSets({ ...options, tasks: toBuild })))
  return inTableOrder(sets)
}

/** Surface, syntax, meaning, words, pairs. */
function inTableOrder(sets: readonly ProbeSet[]): ProbeSet[] {
  const order = [
    ...new Set([...Object.values(SENTEVAL_FILES).slice(0, 5), ...BUILDABLE_PROBES.map(({ name }) => name)]),
  ]
  const place = ({ name }: ProbeSet): number => (order.includes(name) ? order.indexOf(name) : order.length)
  return [...sets].sort((left, right) => place(left) - place(right))
}
