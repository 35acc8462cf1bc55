/** Writing so that a power cut leaves the old or the new file, never a torn one. */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { replaceOutput } from '../output-file.js'
import { syncFile, syncPath } from '../sync-path.js'

export { syncPath }

/** Makes a folder and those above it. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    // Node reports a read-only file system as "no such file" here; a plain mkdir of the topmost missing folder tells the reason.
    let missing = path
    while (!existsSync(dirname(missing))) missing = dirname(missing)
    await mkdir(missing)
    throw error
  }
}

/** Writes a new file and flushes it. */
export async function writeSynced(path: string, content: string): Promise<void> {
  const handle = await open(path, 'w')
  try {
    await handle.writeFile(content)
    await syncFile(handle)
  } finally {
    await handle.close()
  }
}

/** Replaces a file in one move. */
export async function replaceFile(path: string, content: string): Promise<void> {
  await replaceOutput(path, content, { durable: true })
}

/** Points the symbolic link `path` at `target` in one move; where the file system has no links, a text file says the target. */
export async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = `${path}.tmp.${process.pid}`
  await rm(temporary, { force: true })
  try {
    // Windows asks for a right that few have, and its links to folders cannot be replaced by a rename.
    if (process.platform === 'win32') await writeFile(temporary, `${target}\n`)
    else await symlink(target, temporary)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    await writeFile(temporary, `${target}\n`)
  }
  await rename(temporary, path)
  await syncPath(dirname(path))
}

/** Paths of all files below a folder, relative to it, with slashes, sorted. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return files
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll(sep, '/'),
    )
    .sort()
}

/** Size and SHA-256 of a file, read once in pieces. */
export async function fingerprint(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(piece as Buffer)
    bytes += (piece as Buffer).length
  }
  return { bytes, sha256: hash.digest('hex') }
}
