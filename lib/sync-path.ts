/**
 * Flushing what was written already. Windows has no flush of a folder (NTFS keeps names whole through its journal) and refuses that of a file
 * through a handle that may only read.
 */
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'

const WINDOWS = process.platform === 'win32'

/** Flushes a file or a folder's entries to the disk. */
export async function syncPath(path: string): Promise<void> {
  if (WINDOWS && (await stat(path)).isDirectory()) return
  const handle = await open(path, WINDOWS ? 'r+' : 'r')
  try {
    await handle.sync()
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
