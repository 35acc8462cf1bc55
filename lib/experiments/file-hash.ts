/**
 * SHA-256 of whole files. That of a large one is kept in the user's cache under the file's device, inode, size and times of change: it is
 * read again when one of these is another.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory } from '../runtime/index.js'
import { makeFolder, replaceFile } from '../training/index.js'

/** A smaller file is read sooner than its place in the cache is worth. */
const KEPT_FROM_BYTES = 16 << 20

/** A file that changed so lately may do so again without another time: coarse clocks tick every few milliseconds, some every 2 s. */
const SETTLED_MILLISECONDS = 3000

/** Hexadecimal. `cache`: folder of the kept ones, null keeps none. Throws what reading throws. */
export async function fileHash(path: string, cache: string | null = defaultCache()): Promise<string> {
  const before = await stateOf(path)
  const kept = cache !== null && before.size >= KEPT_FROM_BYTES ? join(cache, before.key) : undefined
  const known = kept && (await readFile(kept, 'utf8').catch(() => undefined))
  if (known && /^[0-9a-f]{64}$/.test(known)) return known
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(bytes)
  const found = hash.digest('hex')
  const isSettled = Date.now() - before.changedAt > SETTLED_MILLISECONDS
  if (kept && isSettled && (await stateOf(path)).key === before.key) await keep(cache!, kept, found)
  return found
}

function defaultCache(): string | null {
  const folder = cacheDirectory()
  return folder && join(folder, 'file-hashes')
}

async function stateOf(path: string): Promise<{ key: string; size: number; changedAt: number }> {
  const { dev, ino, size, mtimeNs, ctimeNs, mtimeMs, ctimeMs } = await stat(path, { bigint: true })
  const later = mtimeMs > ctimeMs ? mtimeMs : ctimeMs
  return { key: [dev, ino, size, mtimeNs, ctimeNs].join('-'), size: Number(size), changedAt: Number(later) }
}

/** A cache that cannot be written costs time alone. */
async function keep(folder: string, path: string, hash: string): Promise<void> {
  try {
    await makeFolder(folder)
    await replaceFile(path, hash)
  } catch {}
}
