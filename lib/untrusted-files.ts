/**
 * Files of a model folder, which somebody else may have made: only plain files of bounded size are read, links stay inside the folder,
 * and JSON is not nested without end. Nothing of such a folder is ever executed or written to.
 */
import { constants } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { fileError, StrataError } from './errors.js'

/** A vocabulary of a million tokens has some 30 MB. */
const LARGEST_JSON_BYTES = 64 * 1024 * 1024
/** What reads parsed JSON may recurse (JSON.stringify, schemas, structured clones). */
const DEEPEST_JSON = 100

/** How a reader names what it does, and which code a damaged file gets. */
export interface ReadingAs {
  /** Like "load the tokenizer". */
  doing: string
  code: 'BAD_CHECKPOINT' | 'BAD_FILE' | 'BAD_RECIPE'
}

/**
 * Throws when a file of a folder is a link that leads out of it. A link of the Hugging Face cache may lead from `snapshots/<revision>`
 * into the `blobs` of the same model. STRATABERT_FOLLOW_LINKS=1 lets all links be followed.
 */
export async function checkLink(path: string, { doing, code }: ReadingAs, inFolder = dirname(path)): Promise<void> {
  if (process.env.STRATABERT_FOLLOW_LINKS === '1') return
  let folder: string
  let target: string
  try {
    ;[folder, target] = await Promise.all([realpath(inFolder), realpath(path)])
  } catch (error) {
    throw unreadable(error, path, { doing, code })
  }
  if (isInside(target, folder) || isBlobOf(target, folder)) return
  throw new StrataError(
    code,
    `${path} is a link to ${target}, outside of its folder; expected a plain file, or a link inside the folder or into the blobs of its Hugging Face cache; ` +
      'copy the file into the folder, or set STRATABERT_FOLLOW_LINKS=1 where you trust its links',
    { details: { path, target } },
  )
}

function isInside(target: string, folder: string): boolean {
  return target.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

/** `<cache>/models--x/snapshots/<revision>/…` and `<cache>/models--x/blobs/…`. */
function isBlobOf(target: string, folder: string): boolean {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    if (basename(dirname(at)) === 'snapshots') return isInside(target, join(dirname(dirname(at)), 'blobs'))
  }
  return false
}

/** A plain file of at most `most` bytes as a whole. A pipe or device is refused without waiting for it. */
export async function readPlainFile(path: string, as: ReadingAs, most: number = LARGEST_JSON_BYTES): Promise<Buffer> {
  const bad = (problem: string): StrataError => new StrataError(as.code, `${path} ${problem}`, { details: { path } })
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const status = await file.stat()
      if (status.isDirectory()) throw bad('is a folder, a file was expected')
      if (!status.isFile()) throw bad('is no plain file; a pipe or device is not read')
      if (status.size > most)
        throw bad(`has ${status.size} bytes; at most ${most} were expected: is it the right file?`)
      const bytes = Buffer.alloc(status.size)
      let done = 0
      while (done < bytes.length) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return bytes.subarray(0, done)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw unreadable(error, path, as)
  }
}

/** Links in a circle, sockets and the like are the folder's fault, not the disk's. */
function unreadable(error: unknown, path: string, { doing, code }: ReadingAs): StrataError {
  const found = (error as NodeJS.ErrnoException).code ?? ''
  if (!['ELOOP', 'ENOTDIR', 'ENXIO', 'ENAMETOOLONG'].includes(found)) return fileError(error, path, doing)
  return new StrataError(code, `cannot ${doing}: ${path} is no plain file (${found})`, {
    cause: error,
    details: { path },
  })
}

/**
 * Parses JSON of a file. Of equal keys the last counts, as everywhere; a byte order mark at the beginning is left out. `revive`: as
 * JSON.parse takes it.
 */
export function parseUntrustedJson(
  bytes: Uint8Array,
  path: string,
  as: ReadingAs,
  revive?: (key: string, value: unknown) => unknown,
): unknown {
  const bad = (problem: string, cause?: unknown): StrataError =>
    new StrataError(as.code, `${path} ${problem}; get the file again or write it anew`, { cause, details: { path } })
  if (!isShallowJson(bytes, DEEPEST_JSON)) throw bad(`is nested more than ${DEEPEST_JSON} deep`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw bad('is not valid UTF-8', error)
  }
  try {
    return JSON.parse(text, revive)
  } catch (error) {
    throw bad(`is not valid JSON (${(error as Error).message})`, error)
  }
}

/** Reads a JSON file of a model folder. */
export async function readUntrustedJson(path: string, as: ReadingAs): Promise<unknown> {
  return parseUntrustedJson(await readPlainFile(path, as), path, as)
}

/** Whether arrays and objects are nested at most so deep, seen before anything is made of them. */
export function isShallowJson(bytes: Uint8Array, deepest: number): boolean {
  let depth = 0
  for (let at = 0; at < bytes.length; at++) {
    const symbol = bytes[at]
    if (symbol === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++
    } else if (symbol === OPEN_BRACKET || symbol === OPEN_BRACE) {
      depth++
      if (depth > deepest) return false
    } else if (symbol === CLOSE_BRACKET || symbol === CLOSE_BRACE) depth--
  }
  return true
}

const [QUOTE, BACKSLASH, OPEN_BRACKET, OPEN_BRACE, CLOSE_BRACKET, CLOSE_BRACE] = Buffer.from('"\\[{]}')
