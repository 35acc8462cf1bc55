/** Recognises what the report is asked for by the files that lie there. */
import { existsSync, statSync } from 'node:fs'
import { basename, dirname, resolve, sep } from 'node:path'
import { StrataError } from '../errors.js'
import { type AgreementsInput, readAgreements } from './agreements-input.js'
import { type ComparisonInput, readComparison } from './comparison-input.js'
import { runsOfComparison } from './experiment-runs.js'
import { type LayersInput, readLayers } from './layers-input.js'
import { type ProbeInput, readProbes } from './probe-input.js'
import { type RunInput, readRun } from './run-input.js'

export interface ReportInputs {
  runs: RunInput[]
  probes: ProbeInput[]
  layers: LayersInput[]
  comparisons: ComparisonInput[]
  agreements: AgreementsInput[]
}

/** The file that tells what a folder is; one folder may be several things. */
const MARKS = {
  runs: 'metrics.jsonl',
  probes: 'probes.json',
  layers: 'layers.json',
  comparisons: 'comparison.json',
  agreements: 'agreements.json',
}

/**
 * Reads run folders and the outputs of `probe`, `layers`, `compare` (with the curves of its runs) and `agreements`; one of their files stands for its folder. Throws NOT_FOUND,
 * BAD_ARGUMENT for a path that is none of them, BAD_FILE for content that cannot be read.
 */
export async function readInputs(paths: readonly string[]): Promise<ReportInputs> {
  if (paths.length === 0) throw new StrataError('BAD_ARGUMENT', 'nothing to report on; name at least one run folder')
  const found = [...new Set(paths.map((path) => resolve(path)))].map(recognise)
  const folders = [...new Set(found.map(({ folder }) => folder))]
  const names = shortNames(folders)
  const inputs: ReportInputs = { runs: [], probes: [], layers: [], comparisons: [], agreements: [] }
  for (const folder of folders) {
    const kinds = new Set(found.flatMap((item) => (item.folder === folder ? item.kinds : [])))
    const name = names.get(folder) ?? folder
    if (kinds.has('runs')) inputs.runs.push(await readRun(folder, name))
    if (kinds.has('probes')) inputs.probes.push(await readProbes(folder, name))
    if (kinds.has('layers')) inputs.layers.push(await readLayers(folder, name))
    if (kinds.has('comparisons')) inputs.comparisons.push(await readComparison(folder, name))
    if (kinds.has('agreements')) inputs.agreements.push(await readAgreements(folder, name))
  }
  await addRunsOfComparisons(inputs)
  if (inputs.runs.length > 1) for (const [i, run] of inputs.runs.entries()) run.colour ??= i
  return inputs
}

/** A run that was named itself keeps its own name and colour. */
async function addRunsOfComparisons({ runs, comparisons }: ReportInputs): Promise<void> {
  const taken = new Set(runs.map(({ folder }) => folder))
  let firstColour = runs.length
  for (const comparison of comparisons) {
    const prefix = comparisons.length > 1 ? `${comparison.name}: ` : ''
    const found = await runsOfComparison(comparison, { taken, firstColour, prefix })
    runs.push(...found.runs)
    comparison.notes.push(...found.notes)
    for (const { folder } of found.runs) taken.add(folder)
    firstColour = Math.max(firstColour, ...found.runs.map(({ colour = 0 }) => colour + 1))
  }
}

type Kind = keyof typeof MARKS
const KINDS = Object.keys(MARKS) as Kind[]

function recognise(path: string): { folder: string; kinds: Kind[] } {
  const status = statSync(path, { throwIfNoEntry: false })
  if (!status) throw new StrataError('NOT_FOUND', `${path} does not exist; check the path`, { details: { path } })
  const kinds = status.isDirectory()
    ? KINDS.filter((kind) => existsSync(resolve(path, MARKS[kind])))
    : KINDS.filter((kind) => basename(path) === MARKS[kind])
  if (kinds.length > 0) return { folder: status.isDirectory() ? path : dirname(path), kinds }
  const expected = Object.values(MARKS).join(', ')
  throw new StrataError(
    'BAD_ARGUMENT',
    `${path} is no run and no output of probe, layers, compare or agreements: a folder with one of ${expected} was expected`,
    { details: { path } },
  )
}

/** The shortest ends of the paths that tell them apart. */
function shortNames(folders: readonly string[]): Map<string, string> {
  const ending = (folder: string, parts: number) => folder.split(sep).slice(-parts).join('/')
  return new Map(
    folders.map((folder) => {
      const most = folder.split(sep).length
      let parts = 1
      while (
        parts < most &&
        folders.some((other) => other !== folder && ending(other, parts) === ending(folder, parts))
      )
        parts++
      return [folder, ending(folder, parts) || folder]
    }),
  )
}
