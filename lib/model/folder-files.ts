/** Small files of a model folder: read with typed errors, written and brought to the disk. */
import { open, stat } from 'node:fs/promises'
import { fileError } from '../errors.js'
import { syncPath as flush, syncFile } from '../sync-path.js'
import { checkLink, type ReadingAs, readUntrustedJson } from '../untrusted-files.js'

const AS: ReadingAs = { doing: 'read the model folder', code: 'BAD_CHECKPOINT' }

/** A JSON file of a model folder. Throws NOT_FOUND, or BAD_CHECKPOINT for what is no JSON or lies outside of the folder. */
export async function readJson(file: string): Promise<unknown> {
  await checkLink(file, AS)
  return readUntrustedJson(file, AS)
}

/** Throws BAD_CHECKPOINT when a file of a model folder is a link that leads out of it. */
export function checkFolderLink(file: string): Promise<void> {
  return checkLink(file, AS)
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
      await syncFile(file)
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
    await flush(path)
  } catch (error) {
    throw fileError(error, path, 'write the model folder')
  }
}

export function packageVersion(): string {
  // Both lib/model/ and dist/model/ stand two folders below package.json.
  return (require('../../package.json') as { version: string }).version
}
