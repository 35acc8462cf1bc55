/** Which file belongs to which split. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import type { TaskFiles } from './types.js'

/** Files by split, in reading order. `single` = one file that has to be parted into `train` and `dev`. */
export interface ResolvedFiles {
  splits: Map<string, readonly string[]>
  single: boolean
}

const DEFAULT_FILES: Readonly<Record<string, readonly string[]>> = {
  train: ['train'],
  dev: ['dev', 'validation', 'valid'],
  test: ['test'],
}

/** A split whose labels may be secret: no training and no selection looks at it. */
export function isPredictionSplit(split: string): boolean {
  return split.startsWith('test') || split.startsWith('predict')
}

/** Every split that data may have: those that their files are given by, else those of a folder's names and of one file's parting. */
export function namedSplits(
  data: string | TaskFiles,
  names: Readonly<Record<string, readonly string[]>> = DEFAULT_FILES,
): string[] {
  return typeof data === 'string' ? [...new Set(['train', 'dev', ...Object.keys(names)])] : Object.keys(data)
}

/**
 * Finds a task's files: a folder in the official layout (names by split, endings in the order given, parts `train-00000-of-00002`
 * together), one file, or files by split. Throws NOT_FOUND or BAD_DATA, naming what the folder has.
 *
 * @param endings without dot, the preferred one first
 */
export function resolveTaskFiles(
  task: string,
  data: string | TaskFiles,
  endings: readonly string[],
  names: Readonly<Record<string, readonly string[]>> = DEFAULT_FILES,
): ResolvedFiles {
  if (typeof data === 'string') {
    let isFolder: boolean
    try {
      isFolder = statSync(data).isDirectory()
    } catch (error) {
      throw fileError(error, data, `read the data of task ${task}`)
    }
    if (!isFolder) return { splits: new Map([['train', [data]]]), single: true }
    return { splits: filesOfFolder(task, data, endings, names), single: false }
  }
  if (Array.isArray(data)) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `task ${task}: a list of ${data.length} files came (${data.slice(0, 5).join(', ')}); files by split were expected, like { train: [a, b], dev: c }`,
      { details: { task } },
    )
  }
  const splits = new Map<string, readonly string[]>()
  for (const [split, paths] of Object.entries(data)) {
    const list = typeof paths === 'string' ? [paths] : [...paths]
    if (list.length === 0) throw new StrataError('BAD_ARGUMENT', `task ${task}: split ${split} names no file`)
    for (const path of list) {
      if (!existsSync(path)) {
        throw new StrataError(
          'NOT_FOUND',
          `task ${task}: the file of split ${split}, ${path}, does not exist; check the path`,
          {
            details: { task, split, path },
          },
        )
      }
    }
    splits.set(split, list)
  }
  if (splits.size === 0) throw new StrataError('BAD_ARGUMENT', `task ${task}: no file was given; name one by split`)
  return { splits, single: false }
}

function filesOfFolder(
  task: string,
  folder: string,
  endings: readonly string[],
  names: Readonly<Record<string, readonly string[]>>,
): Map<string, readonly string[]> {
  const there = readdirSync(folder).sort()
  const splits = new Map<string, readonly string[]>()
  for (const [split, stems] of Object.entries(names)) {
    for (const stem of stems) {
      const found = endings.map((ending) => partsOf(there, stem, ending)).find((files) => files.length > 0)
      if (!found) continue
      splits.set(
        split,
        found.map((file) => join(folder, file)),
      )
      break
    }
  }
  if (splits.size === 0) {
    const stems = Object.values(names).flat()
    throw new StrataError(
      'NOT_FOUND',
      `task ${task}: ${folder} has none of the files ${stems.join(', ')} (with an ending of ${endings.join(', ')}); there are ${there.slice(0, 20).join(', ') || 'no files'}`,
      { details: { task, path: folder } },
    )
  }
  return splits
}

/** The file itself (plain before gzipped), else all its numbered parts. */
function partsOf(there: readonly string[], stem: string, ending: string): readonly string[] {
  const whole = [`${stem}.${ending}`, `${stem}.${ending}.gz`].find((file) => there.includes(file))
  if (whole) return [whole]
  const part = new RegExp(`^-\\d+-of-\\d+\\.${ending}(\\.gz)?$`)
  return there.filter((file) => file.startsWith(stem) && part.test(file.slice(stem.length)))
}
