/** A sentence with its chunks, and the two forms in which it is handed on: a record, or marks in CoNLL-U's last column. */
import { StrataError } from '../errors.js'
import { chunkWithoutParse } from './chunk-fallback.js'
import { chunkRelations, type RelationOptions } from './chunk-relations.js'
import { type Chunks, chunkWords, parsedWords } from './chunker.js'
import { type ConlluRow, type ConlluSentence, commentValue, sentenceText } from './conllu.js'

export interface ChunkedSentence extends Chunks {
  /** False: there was no parse, the chunks come from the lexicon and have no relations. */
  parsed: boolean
  /** Names of the R groups of relations; none without a parse. */
  groups: string[]
  /** (R, C) row-major: the chunk that chunk c attaches to in group r, -1 for none, UNKNOWN_TARGET where the parse does not say. */
  targets: Int32Array
}

/** A sentence of C chunks as plain values; indices count from 0, ends are exclusive. */
export interface ChunkRecord {
  id?: string
  text: string
  words: string[]
  parsed: boolean
  chunks: { kind: string; start: number; end: number; head: number }[]
  /** By group: pairs of chunks, each attaching to the second. */
  relations: Record<string, [from: number, to: number][]>
}

/** Chunks by the sentence's parse, or without one by {@link chunkWithoutParse}. A sentence is parsed when any word has a head. */
export function chunkSentence(sentence: ConlluSentence, { unit, groups }: RelationOptions): ChunkedSentence {
  const parsed = sentence.heads.some((head) => head >= 0)
  if (!parsed) {
    const forms = sentence.words.map(({ form }) => form)
    const found = unit === 'word' ? oneWordEach(forms) : chunkWithoutParse(forms)
    return { ...found, parsed, groups: [], targets: new Int32Array(0) }
  }
  const words = parsedWords(sentence)
  const found = chunkWords(words, { unit })
  return { ...found, parsed, ...chunkRelations(words, found, groups) }
}

/** A sentence's chunks as the plain object that `stratabert chunk` writes as JSON: words and chunks from 0, arcs by relation. */
export function chunkRecord(sentence: ConlluSentence, chunked: ChunkedSentence): ChunkRecord {
  const id = commentValue(sentence, 'sent_id')
  const relations = Object.fromEntries(chunked.groups.map((name): [string, [number, number][]] => [name, []]))
  for (const { group, from, to } of arcs(chunked)) relations[group].push([from, to])
  return {
    ...(id !== undefined && { id }),
    text: commentValue(sentence, 'text') ?? sentenceText(sentence).text,
    words: sentence.words.map(({ form }) => form),
    parsed: chunked.parsed,
    chunks: chunked.chunks.map(({ kind, start, end, head }) => ({ kind, start, end, head })),
    relations,
  }
}

/**
 * A copy of the sentence whose words carry marks in MISC: `Chunk=2:nominal` (number from 1 and kind) on every word, `ChunkHead=Yes` on a
 * chunk's head word and there `ChunkRel=subj:3` for each relation to another chunk, several joined by commas. Marks that were there are
 * replaced; everything else stays as it is.
 */
export function withChunkMarks(sentence: ConlluSentence, chunked: ChunkedSentence): ConlluSentence {
  const relations = chunked.chunks.map((): string[] => [])
  for (const { group, from, to } of arcs(chunked)) {
    if (/[,:|=\s]/.test(group)) {
      throw new StrataError(
        'BAD_ARGUMENT',
        `relation group ${JSON.stringify(group)} cannot stand in CoNLL-U; a name without , : | = and spaces was expected`,
      )
    }
    relations[from].push(`${group}:${to + 1}`)
  }
  let word = 0
  const rows = sentence.rows.map((row) => {
    if (row.kind !== 'word') return row
    const index = chunked.chunkOfWord[word]
    const chunk = chunked.chunks[index]
    const marks = [`Chunk=${index + 1}:${chunk.kind}`]
    if (chunk.head === word) {
      marks.push('ChunkHead=Yes')
      if (relations[index].length > 0) marks.push(`ChunkRel=${relations[index].join(',')}`)
    }
    word++
    return { ...row, misc: [...otherMarks(row), ...marks].join('|') }
  })
  return { ...sentence, rows, words: rows.filter(({ kind }) => kind === 'word') }
}

function otherMarks({ misc }: ConlluRow): string[] {
  return misc === '_' ? [] : misc.split('|').filter((mark) => !/^Chunk(?:Head|Rel)?=/.test(mark))
}

function* arcs({ groups, targets, chunks }: ChunkedSentence): Generator<{ group: string; from: number; to: number }> {
  for (let r = 0; r < groups.length; r++) {
    for (let from = 0; from < chunks.length; from++) {
      const to = targets[r * chunks.length + from]
      if (to >= 0) yield { group: groups[r], from, to }
    }
  }
}

function oneWordEach(forms: readonly string[]): Chunks {
  const { chunks, chunkOfWord } = chunkWithoutParse(forms)
  return {
    chunks: forms.map((_, word) => ({ kind: chunks[chunkOfWord[word]].kind, head: word, start: word, end: word + 1 })),
    chunkOfWord: Int32Array.from(forms, (_, word) => word),
  }
}
