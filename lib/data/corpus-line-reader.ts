import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { fileError, StrataError } from '../errors.js'

/** Whole lines of a file: bytes that end with a line feed (the file's last line may lack it). */
export interface FileLines {
  source: string
  /** Number of the first line, from 1. */
  firstLine: number
  lines: Buffer
}

const CHUNK_BYTES = 1024 * 1024
/** A line must fit into memory several times over. */
export const LONGEST_LINE_BYTES = 32 * 1024 * 1024

/**
 * Reads a file, gzipped or not (by its first bytes), in blocks of about 1 MiB that end at a line's end. A byte-order mark is
 * removed, unless `keepByteOrderMark`. Throws NOT_FOUND, BAD_FILE or BAD_DATA (a line of more than 32 MiB), naming the file.
 */
export async function* readLines(
  source: string,
  options: { signal?: AbortSignal; onBytes?: (count: number) => void; keepByteOrderMark?: boolean } = {},
): AsyncGenerator<FileLines> {
  const doing = 'read the text'
  const info = await stat(source).catch((error) => {
    throw fileError(error, source, doing)
  })
  if (info.isDirectory()) throw fileError(Object.assign(new Error(), { code: 'EISDIR' }), source, doing)
  if (info.isFile() && info.size === 0) {
    throw new StrataError('BAD_FILE', `${source} is empty; text was expected, check the path`, {
      details: { path: source },
    })
  }
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let firstLine = 1
  let first = true
  for await (let chunk of unpackedBytes(source, options)) {
    if (options.signal?.aborted) throw new StrataError('ABORTED', `reading ${source} was stopped`)
    if (first) {
      if (
        !options.keepByteOrderMark &&
        chunk.length >= 3 &&
        chunk[0] === 0xef &&
        chunk[1] === 0xbb &&
        chunk[2] === 0xbf
      )
        chunk = chunk.subarray(3)
      first = false
    }
    const end = chunk.lastIndexOf(10)
    if (end < 0) {
      waiting.push(chunk)
      waitingBytes += chunk.length
      if (waitingBytes > LONGEST_LINE_BYTES) {
        throw new StrataError(
          'BAD_DATA',
          `${source}:${firstLine}: the line is longer than ${LONGEST_LINE_BYTES} bytes; break the text into lines (paragraphs)`,
          { details: { path: source, line: firstLine } },
        )
      }
      continue
    }
    const lines =
      waiting.length === 0 ? chunk.subarray(0, end + 1) : Buffer.concat([...waiting, chunk.subarray(0, end + 1)])
    yield { source, firstLine, lines }
    for (let at = lines.indexOf(10); at >= 0; at = lines.indexOf(10, at + 1)) firstLine++
    waiting = end + 1 < chunk.length ? [chunk.subarray(end + 1)] : []
    waitingBytes = chunk.length - end - 1
  }
  if (waitingBytes > 0) yield { source, firstLine, lines: Buffer.concat(waiting) }
}

/**
 * The file's bytes, unpacked where they are gzipped (by the first bytes), at least three in the first chunk unless the file is shorter.
 * Throws NOT_FOUND, BAD_FILE (not gzipped in spite of its name, damaged) and other file errors.
 */
export async function* unpackedBytes(
  source: string,
  options: { onBytes?: (count: number) => void } = {},
): AsyncGenerator<Buffer> {
  const file = createReadStream(source, { highWaterMark: CHUNK_BYTES })
  try {
    const stored = file[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let head: Buffer = Buffer.alloc(0)
    let ended = false
    while (head.length < 3 && !ended) {
      const { value, done } = await stored.next()
      if (done) ended = true
      else {
        options.onBytes?.(value.length)
        head = head.length === 0 ? value : Buffer.concat([head, value])
      }
    }
    const rest = async function* (): AsyncGenerator<Buffer> {
      if (head.length > 0) yield head
      while (!ended) {
        const { value, done } = await stored.next()
        if (done) return
        options.onBytes?.(value.length)
        yield value
      }
    }
    if (head[0] === 0x1f && head[1] === 0x8b) yield* unpacked(source, rest())
    else if (/\.gz$/i.test(source)) {
      throw new StrataError('BAD_FILE', `${source} is not gzipped although its name ends in .gz; check the file`, {
        details: { path: source },
      })
    } else yield* rest()
  } catch (error) {
    throw fileError(error, source, 'read the text')
  } finally {
    file.destroy()
  }
}

async function* unpacked(source: string, stored: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
  let failure: unknown
  const feed = (async () => {
    for await (const chunk of stored) {
      if (gunzip.destroyed) return
      if (!gunzip.write(chunk))
        await new Promise<void>((resolve) => {
          gunzip.once('drain', resolve).once('close', resolve)
        })
    }
    gunzip.end()
  })().catch((error) => {
    failure = error
    gunzip.destroy()
  })
  try {
    for await (const chunk of gunzip) yield chunk as Buffer
  } catch (error) {
    if (failure !== undefined) throw failure
    throw new StrataError(
      'BAD_FILE',
      `${source} is a damaged or cut gzip file (${(error as Error).message}); get it again`,
      { cause: error, details: { path: source } },
    )
  } finally {
    gunzip.destroy()
    await feed
  }
}
