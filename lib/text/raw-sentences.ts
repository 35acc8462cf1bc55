/** Raw text as CoNLL-U sentences: words as the English treebanks split them, without tags and tree. */
import type { ConlluSentence } from './conllu.js'
import { makeSentence } from './conllu-writer.js'
import { splitSentences } from './sentence-splitter.js'
import { splitWords } from './word-splitter.js'

/** Where a sentence stands among documents and paragraphs; counted from 1. */
export interface SentencePlace {
  document: number
  paragraph: number
  sentence: number
}

/** Takes the lines of a text: a paragraph a line, a blank line begins a new document. */
export class RawSentences {
  readonly #place: SentencePlace = { document: 0, paragraph: 0, sentence: 0 }
  #open = false

  /** The sentences of the next line. A sentence without a word (control characters only) is left out. */
  push(line: string): ConlluSentence[] {
    if (line.trim() === '') {
      this.#open = false
      return []
    }
    const place = this.#place
    const opensDocument = !this.#open
    const found = splitSentences(line)
      .map((text) => ({ text, words: splitWords(text) }))
      .filter(({ words }) => words.length > 0)
    return found.map(({ text, words }, index) => {
      const comments: string[] = []
      if (index === 0) {
        if (opensDocument) {
          place.document++
          place.paragraph = 0
          comments.push(`# newdoc id = ${place.document}`)
        }
        place.paragraph++
        place.sentence = 0
        comments.push(`# newpar id = ${place.document}.${place.paragraph}`)
        this.#open = true
      }
      place.sentence++
      comments.push(
        `# sent_id = ${place.document}.${place.paragraph}.${place.sentence}`,
        `# text = ${text.replace(/[\r\n]/g, ' ')}`,
      )
      return makeSentence(
        words.map(({ form, end, token }, word) => {
          return { form, token, spaceAfter: word + 1 === words.length || words[word + 1].start > end }
        }),
        comments,
      )
    })
  }
}
