/**
 * Flushing what was written already. Windows has no flush of a folder (NTFS keeps names whole through its journal) and refuses that of a file
 * through a handle that may only read.
 */
import { closeSync, fsync, fsyncSync, openSync } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { promisify } from 'node:util'

const WINDOWS = process.platform === 'win32'

/** Flushes an open file to the disk. */
export const syncDescriptor: (descriptor: number) => Promise<void> = promisify(fsync)

/** The same of a handle. By its descriptor: handles under Yarn's Plug'n'Play are Yarn's own, without `sync`. */
export function syncFile({ fd }: FileHandle): Promise<void> {
  return syncDescriptor(fd)
}

/** Flushes a file or a folder's entries to the disk. */
export async function syncPath(path: string): Promise<void> {
  if (WINDOWS && (await stat(path)).isDirectory()) return
  const handle = await open(path, WINDOWS ? 'r+' : 'r')
  try {
    await syncFile(handle)
  } finally {
    await handle.close()
  }
}

/** Flushes a folder's entries to the disk. */
export function syncDirectory(path: string): void {
  if (WINDOWS) return
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
