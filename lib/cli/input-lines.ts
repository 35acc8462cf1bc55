import { isUtf8 } from 'node:buffer'
import { unpackedBytes } from '../data/index.js'
import { fileError, StrataError } from '../errors.js'

/** A longer line is no sentence but some other file. */
const LONGEST_LINE_BYTES = 64 * 1024 * 1024

/**
 * Lines of a file, gzipped or not, or of stdin for `-`, one by one in bounded memory, without their line ends; a byte-order mark is removed.
 * Blank lines are kept: output line k belongs to input line k. `keepCarriageReturns` leaves the CR of CR LF. Throws NOT_FOUND, BAD_FILE (empty, a damaged .gz) or BAD_DATA (invalid UTF-8, NUL,
 * a line above 64 MiB), naming file and line.
 */
export async function* inputLines(
  input: string,
  { keepCarriageReturns = false }: { keepCarriageReturns?: boolean } = {},
): AsyncGenerator<string> {
  const label = input === '-' ? 'stdin' : input
  const stream = input === '-' ? process.stdin : unpackedBytes(input)
  let pieces: Buffer[] = []
  let pieceBytes = 0
  let line = 1
  let empty = true
  const take = (last: Buffer): string => {
    let bytes = pieces.length === 0 ? last : Buffer.concat([...pieces, last])
    pieces = []
    pieceBytes = 0
    if (line === 1 && bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
      bytes = bytes.subarray(3)
    const place = `${label}:${line}`
    if (bytes.includes(0))
      throw new StrataError('BAD_DATA', `${place}: has a NUL byte, text was expected; is it a binary file?`)
    if (!isUtf8(bytes))
      throw new StrataError('BAD_DATA', `${place}: is not valid UTF-8; convert the file, for example with iconv`)
    line++
    const text = bytes.toString('utf8')
    return text.endsWith('\r') && !keepCarriageReturns ? text.slice(0, -1) : text
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (chunk.length > 0) empty = false
      let from = 0
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
        yield take(chunk.subarray(from, end))
        from = end + 1
      }
      if (from === chunk.length) continue
      pieces.push(Buffer.from(chunk.subarray(from)))
      pieceBytes += chunk.length - from
      if (pieceBytes > LONGEST_LINE_BYTES) {
        throw new StrataError(
          'BAD_DATA',
          `${label}:${line}: the line is longer than ${LONGEST_LINE_BYTES} bytes; one text a line was expected`,
        )
      }
    }
  } catch (error) {
    throw fileError(error, label, 'read the input')
  }
  if (empty) throw new StrataError('BAD_FILE', `${label} is empty; one text a line was expected`)
  if (pieceBytes > 0) yield take(Buffer.alloc(0))
}
