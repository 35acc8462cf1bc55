/** Rows of a Parquet file, one row group at a time. */
import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import * as zlib from 'node:zlib'
import type { AsyncBuffer, Compressors } from 'hyparquet'
import { fileError, StrataError } from '../errors.js'
import type { RecordBlock, TableRecord } from './table-formats.js'

/** Stands in a cell whose bytes are no UTF-8. */
const INVALID_TEXT = Symbol('invalid UTF-8')

const ROWS_PER_BLOCK = 4096

export interface ParquetTable extends AsyncDisposable {
  /** Top-level columns. */
  columns: string[]
  /** Rows with these columns only; `line` is the row's number from 1. */
  records(columns: readonly string[], signal?: AbortSignal): AsyncGenerator<RecordBlock>
}

/**
 * Opens a Parquet file. Memory holds one row group's chosen columns at a time.
 * Throws NOT_FOUND, BAD_FILE (no Parquet file, or a damaged one) or UNSUPPORTED (a compression that this Node lacks).
 */
export async function openParquet(source: string): Promise<ParquetTable> {
  // The library is an ES module; CommonJS reaches it this way only.
  const parquet = await import('hyparquet')
  const file = await open(source).catch((error) => {
    throw fileError(error, source, 'read the table')
  })
  try {
    const info = await file.stat()
    if (info.isDirectory()) throw fileError(Object.assign(new Error(), { code: 'EISDIR' }), source, 'read the table')
    const byteLength = info.size
    const buffer: AsyncBuffer = {
      byteLength,
      async slice(start, end = byteLength) {
        const from = start < 0 ? Math.max(0, byteLength + start) : start
        const bytes = new Uint8Array(Math.max(0, Math.min(end, byteLength) - from))
        const { bytesRead } = await file.read(bytes, 0, bytes.length, from)
        if (bytesRead !== bytes.length) throw new Error(`${bytesRead} bytes at ${from} instead of ${bytes.length}`)
        return bytes.buffer
      },
    }
    const metadata = await parquet.parquetMetadataAsync(buffer).catch((error) => {
      throw damaged(source, error)
    })
    const columns = parquet.parquetSchema(metadata).children.map((child) => child.element.name)
    return {
      columns,
      async *records(wanted, signal) {
        let rowStart = 0
        for (const group of metadata.row_groups) {
          if (signal?.aborted) throw new StrataError('ABORTED', `reading ${source} was stopped`)
          const rowEnd = rowStart + Number(group.num_rows)
          const rows = await parquet
            .parquetReadObjects({
              file: buffer,
              metadata,
              columns: [...wanted],
              rowStart,
              rowEnd,
              compressors: compressors(source),
              parsers: { stringFromBytes },
            })
            .catch((error) => {
              throw error instanceof StrataError ? error : damaged(source, error)
            })
          for (let from = 0; from < rows.length; from += ROWS_PER_BLOCK) {
            const first = rowStart + from + 1
            yield {
              records: rows.slice(from, from + ROWS_PER_BLOCK).map((fields, index) => recordOf(fields, first + index)),
              blankLines: 0,
            }
          }
          rowStart = rowEnd
        }
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

function recordOf(fields: Record<string, unknown>, line: number): TableRecord {
  for (const [name, value] of Object.entries(fields)) {
    if (value === INVALID_TEXT) return { line, problem: `column "${name}" holds invalid UTF-8` }
  }
  return { line, fields }
}

function stringFromBytes(bytes: Uint8Array | undefined): unknown {
  if (!bytes) return bytes
  return isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8') : INVALID_TEXT
}

function compressors(source: string): Compressors {
  // Node has Zstandard from 22.15 on.
  const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (input: Uint8Array) => Buffer }
  const refused = (name: string) => (): never => {
    throw new StrataError(
      'UNSUPPORTED',
      `${source} is compressed with ${name}, which this Node (${process.version}) cannot unpack; write it with snappy or gzip`,
      { details: { path: source } },
    )
  }
  return {
    GZIP: (input) => zlib.gunzipSync(input),
    BROTLI: (input) => zlib.brotliDecompressSync(input),
    ZSTD: zstdDecompressSync ? (input) => zstdDecompressSync(input) : refused('zstd'),
    LZ4: refused('LZ4'),
    LZ4_RAW: refused('LZ4'),
    LZO: refused('LZO'),
  }
}

function damaged(source: string, error: unknown): StrataError {
  return new StrataError(
    'BAD_FILE',
    `${source} is no Parquet file or a damaged one (${(error as Error).message.slice(0, 200)}); get it again`,
    { cause: error, details: { path: source } },
  )
}
