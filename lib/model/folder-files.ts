/** Small files of a model folder: read with typed errors, written and brought to the disk. */
import { open, readFile, stat } from 'node:fs/promises'
import { fileError, StrataError } from '../errors.js'

export async function readJson(file: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw fileError(error, file, 'read the model folder')
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new StrataError(
      'BAD_CHECKPOINT',
      `${file} is not JSON (${(error as Error).message}); write the folder anew`,
      { cause: error, details: { file } },
    )
  }
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

export async function writeFileSynced(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, 'w')
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw fileError(error, path, 'write the model folder')
  }
}

/** Brings what somebody else wrote to the disk: a file's bytes, or a folder's names. */
export async function syncPath(path: string): Promise<void> {
  try {
    const file = await open(path, 'r')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw fileError(error, path, 'write the model folder')
  }
}

export function packageVersion(): string {
  // Both lib/model/ and dist/model/ stand two folders below package.json.
  return (require('../../package.json') as { version: string }).version
}
