/** Unpacks chosen files of a ZIP archive (wheels are ZIP files). */
import { createWriteStream } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import yauzl from 'yauzl'
import { StrataError } from '../errors.js'

/** Several entries at once keep all cores inflating. */
const PARALLEL_ENTRIES = 4
const SYMLINK_MODE = 0o120000

/**
 * Unpacks the entries that `rename` gives a relative path for (null = leave out) into `directory`. Calls `onBytes` with the bytes
 * written since the last call. yauzl checks sizes and refuses absolute and climbing paths, not the entries' checksums: the caller has verified
 * the archive's hash.
 */
export async function unzip(
  archive: string,
  directory: string,
  rename: (path: string) => string | null,
  onBytes: (bytes: number) => void = () => {},
): Promise<number> {
  let zip: yauzl.ZipFile | undefined
  try {
    const archiveFile = await openZip(archive)
    zip = archiveFile
    const entries = (await listEntries(archiveFile)).filter(
      (entry) => !entry.fileName.endsWith('/') && rename(entry.fileName) !== null,
    )
    // Large ones first: the last to finish decides how long it takes.
    entries.sort((a, b) => b.uncompressedSize - a.uncompressedSize)
    const folders = new Set(entries.map((entry) => dirname(join(directory, normalize(rename(entry.fileName)!)))))
    for (const folder of folders) await mkdir(folder, { recursive: true })
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < entries.length) {
        const entry = entries[next++]
        await unpackEntry(archiveFile, entry, join(directory, normalize(rename(entry.fileName)!)), onBytes)
      }
    }
    await Promise.all(Array.from({ length: PARALLEL_ENTRIES }, worker))
    return entries.length
  } catch (cause) {
    if (cause instanceof StrataError) throw cause
    if ((cause as NodeJS.ErrnoException).syscall) throw cause
    throw new StrataError(
      'BAD_FILE',
      `${archive} cannot be unpacked: ${(cause as Error).message}; expected a whole ZIP archive; fetch it again`,
      { cause, details: { path: archive } },
    )
  } finally {
    zip?.close()
  }
}

function openZip(archive: string): Promise<yauzl.ZipFile> {
  return new Promise((resolve, reject) => {
    yauzl.open(archive, { lazyEntries: true, autoClose: false, validateEntrySizes: true }, (error, zip) =>
      error ? reject(error) : resolve(zip),
    )
  })
}

function listEntries(zip: yauzl.ZipFile): Promise<yauzl.Entry[]> {
  return new Promise((resolve, reject) => {
    const entries: yauzl.Entry[] = []
    zip.on('entry', (entry: yauzl.Entry) => {
      entries.push(entry)
      zip.readEntry()
    })
    zip.once('end', () => resolve(entries))
    zip.once('error', reject)
    zip.readEntry()
  })
}

async function unpackEntry(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  path: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const stream = await new Promise<Readable>((resolve, reject) => {
    zip.openReadStream(entry, (error, opened) => (error ? reject(error) : resolve(opened)))
  })
  const mode = entry.externalFileAttributes >>> 16
  if ((mode & 0o170000) === SYMLINK_MODE) {
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk as Buffer)
    const target = Buffer.concat(chunks).toString('utf8')
    if (target.startsWith('/') || target.split('/').includes('..')) {
      throw new StrataError(
        'BAD_FILE',
        `archive entry ${entry.fileName} links to ${target}, outside of its folder; expected a whole libtorch archive`,
      )
    }
    await symlink(target, path)
    return
  }
  stream.on('data', (chunk: Buffer) => onBytes(chunk.length))
  await pipeline(stream, createWriteStream(path, { mode: mode & 0o111 ? 0o755 : 0o644 }))
}
