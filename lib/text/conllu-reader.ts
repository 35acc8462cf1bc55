/** CoNLL-U text to sentences, line by line. What is wrong with a sentence is told with file and line. */
import { StrataError } from '../errors.js'
import { type ConlluRow, type ConlluSentence, commentValue, findCycle, type LineEnd } from './conllu.js'
import { isRelation, type LabelScheme } from './dependency-labels.js'

export interface ConlluOptions {
  /** Every word has a head, exactly one of a sentence is the root. Default false: `_` and several roots pass; a cycle never does. */
  strict?: boolean
  /**
   * Lets pass what other tools write, although the format forbids it: CR LF at line ends, of all lines or of some (the writer puts them
   * back), a byte-order mark, further blank lines and a missing blank line at the end of the file (all lost in writing). Default false.
   */
  tolerant?: boolean
  /** Refuse relations that are not of this scheme. Default: any label passes. */
  labels?: LabelScheme
  /** Takes the error of a bad sentence, which is then left out. Default: the error is thrown. */
  onBadSentence?: (error: StrataError) => void
}

const NUMBER = /^(?:0|[1-9]\d{0,8})$/
const RANGE = /^([1-9]\d{0,8})-([1-9]\d{0,8})$/
const EMPTY_NODE = /^(0|[1-9]\d{0,8})\.([1-9]\d{0,8})$/
const CUT = 60

/** Takes the lines of one file in order. */
export class ConlluParser {
  readonly #source: string
  readonly #options: ConlluOptions
  #comments: string[] = []
  #rows: ConlluRow[] = []
  #words: ConlluRow[] = []
  #firstLine = 0
  #open = false
  #line = 0
  /** Of the sentence's lines. */
  #lineEnds: LineEnd[] = []
  /** The open multi-word token's last word, 0 without one. */
  #rangeEnd = 0
  #rangeLine = 0
  #emptyNodes = 0
  /** The sentence is bad and was reported: its other lines are passed over. */
  #bad = false

  /** `source` names the file in errors. */
  constructor(source: string, options: ConlluOptions = {}) {
    this.#source = source
    this.#options = options
  }

  /** The next line, without its line feed; a blank line hands out the sentence that it ends. Throws BAD_DATA with file and line. */
  push(line: string): ConlluSentence | undefined {
    this.#line++
    try {
      return this.#take(line)
    } catch (error) {
      this.#report(error)
      return undefined
    }
  }

  /** At the end of the file; hands out a last sentence without blank line if `tolerant`. Throws BAD_DATA. */
  finish(): ConlluSentence | undefined {
    if (!this.#open) return undefined
    try {
      if (this.#bad) return this.#end()
      if (!this.#options.tolerant) {
        throw this.#error(
          this.#line,
          'the file ends inside a sentence; a blank line was expected (the file may be cut; a whole one is read with tolerant: true)',
        )
      }
      // The last line may lack its end: the others' holds for it too.
      if (this.#lineEnds.length > 1) this.#lineEnds.pop()
      return this.#end()
    } catch (error) {
      this.#report(error)
      return undefined
    }
  }

  #take(raw: string): ConlluSentence | undefined {
    const marked = this.#line === 1 && raw.startsWith('\ufeff')
    const crlf = raw.endsWith('\r')
    const line = raw.slice(marked ? 1 : 0, crlf ? -1 : undefined)
    if ((marked || crlf) && !this.#options.tolerant && !this.#bad) {
      this.#begin()
      if (line === '') this.#reset()
      throw this.#error(
        this.#line,
        marked
          ? "a byte-order mark stands in front; remove it (sed -i '1s/^\\xef\\xbb\\xbf//' FILE) or read the file with tolerant: true"
          : "the line ends in CR LF; LF was expected: convert the file (sed -i 's/\\r$//' FILE) or read it with tolerant: true",
      )
    }
    // A blank line in front belongs to no sentence.
    if (this.#open || line !== '') this.#lineEnds.push(crlf ? '\r\n' : '\n')
    if (line === '') {
      if (this.#open) return this.#end()
      if (this.#options.tolerant) return undefined
      throw this.#error(this.#line, 'a blank line without a sentence before it; remove it, or read with tolerant: true')
    }
    this.#begin()
    if (this.#bad) return undefined
    if (line.includes('\0')) throw this.#error(this.#line, 'a NUL character stands in the line; is it a binary file?')
    if (line.includes('\r')) throw this.#error(this.#line, 'a carriage return stands inside the line; remove it')
    if (line.startsWith('#')) {
      if (this.#rows.length > 0) {
        throw this.#error(this.#line, 'a comment stands among the words; comments were expected before the first word')
      }
      this.#comments.push(line)
    } else this.#addRow(line)
    return undefined
  }

  #begin(): void {
    if (this.#open) return
    this.#open = true
    this.#firstLine = this.#line
  }

  #addRow(line: string): void {
    const cells = line.split('\t')
    if (cells.length !== 10) {
      throw this.#error(this.#line, `${cells.length} columns, 10 were expected with one tab between two`)
    }
    const [id, form, lemma, upos, xpos, feats, head, deprel, deps, misc] = cells
    const empty = cells.indexOf('')
    if (empty >= 0) throw this.#error(this.#line, `column ${empty + 1} is empty; "_" stands for no value`)
    const row: ConlluRow = {
      kind: 'word',
      line: this.#line,
      id,
      form,
      lemma,
      upos,
      xpos,
      feats,
      head,
      deprel,
      deps,
      misc,
    }
    const next = this.#words.length + 1
    if (NUMBER.test(id)) {
      if (Number(id) !== next) throw this.#error(this.#line, `word number ${id}, ${next} was expected`)
      this.#words.push(row)
      this.#emptyNodes = 0
    } else if (RANGE.test(id)) {
      row.kind = 'range'
      this.#openRange(id, next)
    } else if (EMPTY_NODE.test(id)) {
      row.kind = 'empty'
      const [, after, number] = EMPTY_NODE.exec(id)!
      if (Number(after) !== next - 1 || Number(number) !== this.#emptyNodes + 1) {
        throw this.#error(this.#line, `empty node ${id}; ${next - 1}.${this.#emptyNodes + 1} was expected`)
      }
      this.#emptyNodes++
    } else {
      throw this.#error(
        this.#line,
        `${quote(id)} is no word number; ${next}, a range (${next}-${next + 1}) or an empty node (${next - 1}.1) was expected`,
      )
    }
    this.#rows.push(row)
  }

  #openRange(id: string, next: number): void {
    const [first, last] = RANGE.exec(id)!.slice(1).map(Number)
    if (first !== next || last < first) {
      throw this.#error(
        this.#line,
        `multi-word token ${id}; a range that begins with the next word, ${next}, was expected`,
      )
    }
    if (first <= this.#rangeEnd) {
      throw this.#error(this.#line, `multi-word token ${id} overlaps the one that ends at word ${this.#rangeEnd}`)
    }
    this.#rangeEnd = last
    this.#rangeLine = this.#line
  }

  #end(): ConlluSentence | undefined {
    try {
      return this.#bad ? undefined : this.#finished()
    } finally {
      this.#reset()
    }
  }

  #finished(): ConlluSentence {
    const words = this.#words
    if (words.length === 0) {
      throw this.#error(this.#firstLine, 'a sentence without words; at least one was expected')
    }
    if (this.#rangeEnd > words.length) {
      throw this.#error(
        this.#rangeLine,
        `the multi-word token reaches to word ${this.#rangeEnd}, but the sentence has ${words.length}`,
      )
    }
    const heads = Int32Array.from(words, (row) => this.#headOf(row, words.length))
    this.#checkTree(heads)
    const sentence: ConlluSentence = {
      source: this.#source,
      line: this.#firstLine,
      comments: this.#comments,
      rows: this.#rows,
      words,
      heads,
      lineEnd: this.#lineEnds[0],
    }
    if (this.#lineEnds.some((end) => end !== sentence.lineEnd)) sentence.lineEnds = this.#lineEnds
    const newDocument = this.#mark('newdoc')
    const newParagraph = this.#mark('newpar')
    if (newDocument) sentence.newDocument = newDocument
    if (newParagraph) sentence.newParagraph = newParagraph
    return sentence
  }

  #headOf({ head, deprel, line }: ConlluRow, wordCount: number): number {
    const { labels } = this.#options
    if (labels && deprel !== '_' && !isRelation(deprel, labels)) {
      const scheme = labels === 'ud' ? 'Universal Dependencies' : 'ClearNLP'
      throw this.#error(line, `relation ${quote(deprel)} is not one of ${scheme}; check the file's label scheme`)
    }
    if (head === '_') return -1
    if (!NUMBER.test(head)) throw this.#error(line, `head ${quote(head)}; a word number, 0 or "_" was expected`)
    if (Number(head) > wordCount) {
      throw this.#error(line, `head ${head} lies outside of the sentence; 0 to ${wordCount} was expected`)
    }
    return Number(head)
  }

  #checkTree(heads: Int32Array): void {
    const lineOf = (word: number): number => this.#words[word - 1].line
    const cycle = findCycle(heads)
    if (cycle) {
      const shown = [...cycle.slice(0, 10), cycle.length > 10 ? '…' : cycle[0]].join(' → ')
      throw this.#error(lineOf(cycle[0]), `the heads run in a cycle (words ${shown}); a tree was expected`)
    }
    if (!this.#options.strict) return
    const missing = heads.indexOf(-1)
    if (missing >= 0) throw this.#error(lineOf(missing + 1), 'the word has no head; a whole tree was expected')
    const second = heads.indexOf(0, heads.indexOf(0) + 1)
    if (second >= 0) {
      throw this.#error(
        lineOf(second + 1),
        `a second root (the first is word ${heads.indexOf(0) + 1}); one root a sentence was expected`,
      )
    }
  }

  #mark(name: 'newdoc' | 'newpar'): { id?: string } | undefined {
    const found = this.#comments.some((comment) => /^#\s*(\w+)/.exec(comment)?.[1] === name)
    if (!found) return undefined
    const id = commentValue({ comments: this.#comments }, `${name} id`)
    return id === undefined ? {} : { id }
  }

  #reset(): void {
    this.#open = false
    this.#comments = []
    this.#rows = []
    this.#words = []
    this.#lineEnds = []
    this.#rangeEnd = 0
    this.#emptyNodes = 0
    this.#bad = false
  }

  #error(line: number, problem: string): StrataError {
    const details = { path: this.#source, line, sentenceLine: this.#firstLine || line }
    return new StrataError('BAD_DATA', `${this.#source}:${line}: ${problem}`, { details })
  }

  #report(error: unknown): void {
    if (!(error instanceof StrataError) || !this.#options.onBadSentence) throw error
    // Still inside the sentence: pass its other lines over. Otherwise its blank line has just been read.
    this.#bad = this.#open
    this.#options.onBadSentence(error)
  }
}

/** All sentences of a text in CoNLL-U. Throws BAD_DATA with `source` and line. */
export function parseConllu(text: string, options: ConlluOptions & { source?: string } = {}): ConlluSentence[] {
  const parser = new ConlluParser(options.source ?? 'text', options)
  const sentences: ConlluSentence[] = []
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  for (const line of lines) {
    const sentence = parser.push(line)
    if (sentence) sentences.push(sentence)
  }
  const last = parser.finish()
  if (last) sentences.push(last)
  return sentences
}

function quote(cell: string): string {
  return JSON.stringify(cell.length > CUT ? `${cell.slice(0, CUT)}…` : cell)
}
