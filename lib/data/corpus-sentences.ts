/** Documents in sentences, normalised, and with their words' chunks where these are asked for. */
import {
  type ChunkedSentence,
  type ConlluSentence,
  chunkSentence,
  chunkWithoutParse,
  type RelationOptions,
  sentenceText,
  splitSentences,
  splitWords,
} from '../text/index.js'
import type { TextDocument } from './document-reader.js'
import { isNormalized, normalizeText, type TextNormalization } from './text-normalization.js'

/** Which chunks a corpus gets, and the relations between them. */
export interface ChunkOptions extends RelationOptions {
  /** A sentence with more tokens is cut between chunks. */
  longestSentence: number
}

export interface CorpusSentence {
  text: string
  /** W words, their places in the text, their chunks, and the labels of their parse. */
  chunked?: ChunkedSentence & { starts: Int32Array; ends: Int32Array; labels: readonly string[] }
}

export interface CorpusDocument {
  sentences: CorpusSentence[]
  /** With one between two sentences. */
  characters: number
}

/** Sentences of a parse stay as they are; others are found here, in the text before it is normalised. */
export function corpusDocument(
  document: TextDocument,
  normalize: TextNormalization | undefined,
  chunks: ChunkOptions | undefined,
): CorpusDocument {
  const wanted = isNormalized(normalize) ? normalize : undefined
  const sentences = chunks
    ? chunkedSentences(document, chunks, wanted)
    : textsOf(document).map((text) => ({ text: wanted ? normalizeText(text, wanted) : text }))
  return { sentences, characters: sentences.reduce((sum, { text }) => sum + text.length + 1, -1) }
}

function textsOf({ sentences, paragraphs }: TextDocument): string[] {
  return sentences ? sentences.map((sentence) => sentenceText(sentence).text) : paragraphs.flatMap(splitSentences)
}

function chunkedSentences(
  { sentences, paragraphs }: TextDocument,
  chunks: ChunkOptions,
  normalize: TextNormalization | undefined,
): CorpusSentence[] {
  const found = sentences
    ? sentences.map((sentence) => parsedSentence(sentence, chunks))
    : paragraphs.flatMap(splitSentences).map((text) => plainSentence(text, chunks))
  return normalize ? found.map((sentence) => normalized(sentence, normalize)) : found
}

function parsedSentence(sentence: ConlluSentence, chunks: ChunkOptions): Required<CorpusSentence> {
  const { text, starts, ends } = sentenceText(sentence)
  const chunked = chunkSentence(sentence, chunks)
  const labels = chunked.parsed ? sentence.words.map(({ deprel }) => deprel) : []
  return { text, chunked: { ...chunked, starts, ends, labels } }
}

function plainSentence(text: string, { unit }: ChunkOptions): Required<CorpusSentence> {
  const words = splitWords(text)
  const found = chunkWithoutParse(words.map(({ form }) => form))
  const each = unit === 'word' ? chunkOfEachWord(found) : found
  const starts = Int32Array.from(words, ({ start }) => start)
  const ends = Int32Array.from(words, ({ end }) => end)
  const chunked = { ...each, parsed: false, groups: [], targets: new Int32Array(0) }
  return { text, chunked: { ...chunked, starts, ends, labels: [] } }
}

function chunkOfEachWord({ chunks, chunkOfWord }: ReturnType<typeof chunkWithoutParse>) {
  return {
    chunks: Array.from(chunkOfWord, (chunk, word) => ({ ...chunks[chunk], head: word, start: word, end: word + 1 })),
    chunkOfWord: chunkOfWord.map((_, word) => word),
  }
}

/** The text is normalised between the borders of its words, so that these can be followed. */
function normalized({ text, chunked }: Required<CorpusSentence>, normalize: TextNormalization): CorpusSentence {
  const borders = [...new Set([0, ...chunked.starts, ...chunked.ends, text.length])].sort((a, b) => a - b)
  const moved = new Map([[0, 0]])
  let plain = ''
  for (let i = 1; i < borders.length; i++) {
    plain += normalizeText(text.slice(borders[i - 1], borders[i]), normalize)
    moved.set(borders[i], plain.length)
  }
  const move = (place: number): number => moved.get(place)!
  return { text: plain, chunked: { ...chunked, starts: chunked.starts.map(move), ends: chunked.ends.map(move) } }
}
