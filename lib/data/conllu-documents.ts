/** Documents out of CoNLL-U: `# newdoc` begins one, `# newpar` a paragraph. */
import { type ConlluSentence, sentenceText } from '../text/conllu.js'
import { conlluBlocks } from './conllu-file.js'
import type { FileLines } from './corpus-line-reader.js'
import type { ReadStatistics, TextDocument } from './document-reader.js'

/** A longer document, as a file without `# newdoc` is one, is handed on in parts; parsed sentences take a hundred times their text. */
const LONGEST_PARSED_CHARACTERS = 128 * 1024

/** Takes the lines of a file in bounded memory, sentence borders and parses included. Throws their errors, and BAD_DATA with file and line. */
export async function* readConlluDocuments(
  source: string,
  lines: AsyncIterable<FileLines>,
  statistics: ReadStatistics,
): AsyncGenerator<TextDocument> {
  let sentences: ConlluSentence[] = []
  let paragraphs: string[] = []
  let characters = 0
  let [isCut, spaced] = [false, true]
  const take = (): TextDocument => {
    statistics.documents++
    statistics.characters += characters
    statistics.paragraphs += paragraphs.length
    const document: TextDocument = { paragraphs, source, line: sentences[0].line, sentences }
    sentences = []
    paragraphs = []
    characters = 0
    return document
  }
  for await (const block of conlluBlocks(source, lines, { tolerant: true })) {
    for (const sentence of block) {
      statistics.lines += sentence.comments.length + sentence.rows.length + 1
      if (sentence.newDocument && sentences.length > 0) yield take()
      if (sentence.newDocument) isCut = false
      const { text, spaceAfter } = sentenceText(sentence)
      if (characters + text.length > LONGEST_PARSED_CHARACTERS && sentences.length > 0) {
        if (!isCut) statistics.cutDocuments++
        isCut = true
        yield take()
      }
      const last = paragraphs.length - 1
      if (last < 0 || sentence.newParagraph || sentence.newDocument) paragraphs.push(text)
      else paragraphs[last] += `${spaced ? ' ' : ''}${text}`
      spaced = spaceAfter
      characters += text.length
      sentences.push(sentence)
    }
  }
  if (sentences.length > 0) yield take()
}
