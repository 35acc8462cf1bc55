/** CoNLL-U files, gzipped or not, sentence by sentence in bounded memory. */
import { isUtf8 } from 'node:buffer'
import { StrataError } from '../errors.js'
import type { ConlluSentence } from '../text/conllu.js'
import { type ConlluOptions, ConlluParser } from '../text/conllu-reader.js'
import { type FileLines, readLines } from './corpus-line-reader.js'

/**
 * Reads a file's sentences in blocks.
 * Throws NOT_FOUND, BAD_FILE and BAD_DATA (see {@link ConlluOptions}), each with the file and, where there is one, the line.
 */
export function readConlluBlocks(
  file: string,
  options: ConlluOptions & { signal?: AbortSignal } = {},
): AsyncGenerator<ConlluSentence[]> {
  return conlluBlocks(file, readLines(file, { signal: options.signal, keepByteOrderMark: true }), options)
}

/** As {@link readConlluBlocks}, of a file's lines. */
export async function* conlluBlocks(
  file: string,
  blocks: AsyncIterable<FileLines>,
  options: ConlluOptions,
): AsyncGenerator<ConlluSentence[]> {
  const parser = new ConlluParser(file, options)
  for await (const { lines, firstLine } of blocks) {
    if (!isUtf8(lines)) throw invalidUtf8(file, lines, firstLine)
    const texts = lines.toString('utf8').split('\n')
    if (texts.at(-1) === '') texts.pop()
    const block: ConlluSentence[] = []
    for (const line of texts) {
      const sentence = parser.push(line)
      if (sentence) block.push(sentence)
    }
    if (block.length > 0) yield block
  }
  const last = parser.finish()
  if (last) yield [last]
}

/** As {@link readConlluBlocks}, one by one. */
export async function* readConllu(
  file: string,
  options: ConlluOptions & { signal?: AbortSignal } = {},
): AsyncGenerator<ConlluSentence> {
  for await (const block of readConlluBlocks(file, options)) yield* block
}

function invalidUtf8(file: string, lines: Buffer, firstLine: number): StrataError {
  let line = firstLine
  let start = 0
  for (let end = lines.indexOf(10); end >= 0 && isUtf8(lines.subarray(start, end)); end = lines.indexOf(10, start)) {
    start = end + 1
    line++
  }
  return new StrataError('BAD_DATA', `${file}:${line}: invalid UTF-8; CoNLL-U is UTF-8: convert the file`, {
    details: { path: file, line },
  })
}
