/** What a run is, beside its curves: overview, what happened, recipe, environment, commands. */
import { basename } from 'node:path'
import { brief } from './curves.js'
import type { Cell, Table } from './figure.js'
import type { RunInput } from './run-input.js'

/** A run a row. */
export function overviewTable(runs: readonly RunInput[]): Table {
  return {
    columns: [
      { label: 'run' },
      { label: 'recipe' },
      { label: 'status' },
      { label: 'steps', numeric: true },
      { label: 'tokens', numeric: true },
      { label: 'seconds of training', numeric: true },
      { label: 'parameters', numeric: true },
      { label: 'last training loss', numeric: true },
    ],
    rows: runs.map((run): Cell[] => {
      const end = endOf(run)
      const last = run.steps.at(-1)
      const start = run.events.find(({ type }) => type === 'start')
      const step = Number(end?.step ?? last?.step ?? 0)
      const recipe = [run.recipe?.name, run.recipe?.preset].filter((part) => typeof part === 'string').join(', ')
      return [
        run.name,
        recipe || '–',
        end ? String(end.status) : 'not ended',
        step,
        Number(end?.tokens ?? last?.tokens ?? 0),
        Math.round(Number(end?.elapsedSeconds ?? last?.elapsedSeconds ?? 0)),
        typeof start?.parameters === 'number' ? start.parameters : null,
        last ? brief(last.loss) : null,
      ]
    }),
  }
}

/** The end that no resume came after. */
function endOf(run: RunInput) {
  const last = run.events.findLast(({ type }) => type === 'end' || type === 'resume' || type === 'stage')
  return last?.type === 'end' ? last : undefined
}

/** Lines that a reader of the curves should know of. */
export function incidents(runs: readonly RunInput[]): Table {
  const told = ['warning', 'nonFinite', 'rollback', 'resume', 'stageEnd']
  return {
    columns: [{ label: 'run' }, { label: 'step', numeric: true }, { label: 'event' }, { label: 'what' }],
    rows: runs.flatMap((run) =>
      run.events.flatMap((event): Cell[][] => {
        if (!told.includes(event.type)) return []
        const { type, step, time, ...rest } = event
        const what = typeof rest.message === 'string' ? rest.message : words(rest)
        return [[run.name, step, type, what]]
      }),
    ),
  }
}

const words = (fields: Record<string, unknown>): string =>
  Object.entries(fields)
    .map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ')

/** Keys of the recipes that are not the same in all runs; undefined with one run. */
export function recipeDifferences(runs: readonly RunInput[]): Table | undefined {
  const withRecipe = runs.filter(({ recipe }) => recipe)
  if (withRecipe.length < 2) return undefined
  const flat = withRecipe.map(({ recipe }) => new Map(flatten(recipe)))
  const keys = [...new Set(flat.flatMap((recipe) => [...recipe.keys()]))]
  const differing = keys.filter((key) => new Set(flat.map((recipe) => recipe.get(key))).size > 1)
  return {
    columns: [{ label: 'key' }, ...withRecipe.map(({ name }) => ({ label: name }))],
    rows: differing.map((key): Cell[] => [key, ...flat.map((recipe) => recipe.get(key) ?? '–')]),
  }
}

function flatten(value: unknown, path = ''): [key: string, text: string][] {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isRecord || Object.keys(value).length === 0) return [[path, JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, path ? `${path}.${key}` : key))
}

/** A start of the run a column: a run that went on elsewhere shows both machines. */
export function environmentTable(run: RunInput): Table {
  const starts = run.environments.map((environment) => {
    const { command: _, startedAt: __, ...rest } = environment
    return new Map(flatten(rest))
  })
  const keys = [...new Set(starts.flatMap((start) => [...start.keys()]))]
  return {
    columns: [
      { label: 'what' },
      ...run.environments.map(({ startedAt }, i) => ({ label: startedAt ?? `start ${i + 1}` })),
    ],
    rows: keys.map((key): Cell[] => [key, ...starts.map((start) => start.get(key)?.replace(/^"(.*)"$/, '$1') ?? '–')]),
  }
}

/** The commands that made the run, one a start, as a shell takes them. */
export function commandsOf(run: RunInput): string[] {
  return run.environments.flatMap(({ command, workingFolder, git }) => {
    if (!command || command.length === 0) return []
    const lines = [
      ...(workingFolder ? [`cd ${shellWord(workingFolder)}`] : []),
      ...(git
        ? [`# commit ${git.commit.replace(/[^\w.-]/g, '')}${git.dirty ? ', with changes that were not committed' : ''}`]
        : []),
      commandLine(command),
    ]
    return [lines.join('\n')]
  })
}

/** The package's own command line reads `npx stratabert …`, wherever Node and the package lie; any other stays as it was. */
export function commandLine(command: string | readonly string[]): string {
  if (typeof command === 'string') return command
  const script = command.findIndex(
    (word) => /(^|[\\/])cli[\\/]main\.[jt]s$/.test(word) || basename(word) === 'stratabert',
  )
  const words = script >= 0 ? ['npx', 'stratabert', ...command.slice(script + 1)] : command
  return words.map(shellWord).join(' ')
}

/** A word that a POSIX shell reads back unchanged. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
