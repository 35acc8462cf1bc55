/** What of text files decides what is made of them: their content, and what their names say of the format. */
import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { formatByName } from './conllu-input.js'
import { type CorpusInput, hashFile } from './corpus-files.js'

/** Reads all files once. `stopped` is asked between blocks. Throws what {@link hashFile} throws. */
export async function hashInputs(
  paths: readonly string[],
  options: { onBytes?: (count: number) => void; stopped?: () => void } = {},
): Promise<CorpusInput[]> {
  const inputs: CorpusInput[] = []
  for (const path of paths) inputs.push({ name: basename(path), ...(await hashFile(path, options)) })
  return inputs
}

/** Returns what throws BAD_DATA when one of the files has been written to since. Throws NOT_FOUND and other file errors. */
export function watchInputs(paths: readonly string[]): () => void {
  const before = paths.map(modificationOf)
  return () => {
    const changed = paths.find((path, index) => modificationOf(path) !== before[index])
    if (changed === undefined) return
    throw new StrataError('BAD_DATA', `${changed} changed while it was read; run again when nothing writes to it`, {
      details: { path: changed },
    })
  }
}

function modificationOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    throw fileError(error, path, 'read the text')
  }
}

/** For a key. */
export function inputsKey(inputs: readonly CorpusInput[]): [sha256: string, format: string][] {
  return inputs.map(({ name, sha256 }) => [sha256, formatByName(name) ?? 'auto'])
}
