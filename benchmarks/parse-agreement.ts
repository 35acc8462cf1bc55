/**
 * Our parser beside another one's parse of the same text: `npm run bench:parse-agreement -- --model RUN [--data FILE.conllu[.xz|.gz]]
 * [--documents 200] [--precision fp32|int8] [--reference clearnlp|ud] [--json] [--save]`.
 *
 * The text is the one that the reference's forms and `SpaceAfter` spell, a paragraph a line, so both sides speak of the same characters;
 * sentences and words are split by us anew. Neither side is gold: the figures say how far two parsers agree on the relations that both
 * label schemes draw alike (lib/evaluation/relation-agreement.ts). Default reference: the parsed half of the shared English Wikipedia text
 * (spaCy, ClearNLP labels), its first documents.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { readConllu } from '../lib/data/index.js'
import { RelationAgreement } from '../lib/evaluation/relation-agreement.js'
import { Encoder } from '../lib/inference/index.js'
import type { InferencePrecision } from '../lib/model/index.js'
import {
  annotate,
  ConlluParser,
  type ConlluSentence,
  type LabelScheme,
  RawSentences,
  sentenceText,
} from '../lib/text/index.js'
import { sharedData } from './enwiki-batches.js'
import { runFacts, saveResult, say } from './rounds.js'

/** Documents that are parsed together. */
const DOCUMENTS_AT_ONCE = 16

/** Sentences of the file in order; it may be packed. */
async function* sentencesOf(file: string): AsyncGenerator<ConlluSentence> {
  if (!file.endsWith('.xz')) return yield* readConllu(file, { tolerant: true })
  const unpacked = spawn('xz', ['-dc', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const parser = new ConlluParser(file, { tolerant: true })
  try {
    for await (const line of createInterface({ input: unpacked.stdout })) {
      const sentence = parser.push(line)
      if (sentence) yield sentence
    }
    const last = parser.finish()
    if (last) yield last
  } finally {
    unpacked.kill()
  }
}

/** The first documents; a file without marks is one document. */
export async function* documentsOf(
  sentences: AsyncIterable<ConlluSentence> | Iterable<ConlluSentence>,
  count: number,
): AsyncGenerator<ConlluSentence[]> {
  let document: ConlluSentence[] = []
  let done = 0
  for await (const sentence of sentences) {
    if (sentence.newDocument && document.length > 0) {
      yield document
      document = []
      if (++done === count) return
    }
    document.push(sentence)
  }
  if (document.length > 0) yield document
}

/** The document's text as its forms and `SpaceAfter` spell it, a string a paragraph. */
export function paragraphsOf(document: readonly ConlluSentence[]): string[] {
  const paragraphs: string[] = []
  let paragraph = ''
  for (const sentence of document) {
    if (sentence.newParagraph && paragraph !== '') {
      paragraphs.push(paragraph)
      paragraph = ''
    }
    const { text, spaceAfter } = sentenceText(sentence)
    paragraph += text + (spaceAfter ? ' ' : '')
  }
  paragraphs.push(paragraph)
  return paragraphs
}

/** The document's text as our own splitter cuts it, without tags and trees. */
export function splitAnew(document: readonly ConlluSentence[]): ConlluSentence[] {
  const raw = new RawSentences()
  return paragraphsOf(document).flatMap((line) => raw.push(line))
}

/** Parses documents and adds them to the tally. */
export async function addDocuments(
  agreement: RelationAgreement,
  documents: readonly (readonly ConlluSentence[])[],
  parse: (sentences: string[][]) => Promise<{ heads: Int32Array; relations: string[]; tags?: string[] }[]>,
): Promise<void> {
  const split = documents.map(splitAnew)
  const parses = await parse(split.flat().map(({ words }) => words.map(({ form }) => form)))
  let next = 0
  split.forEach((sentences, index) => {
    const ours = sentences.map((sentence) => {
      const { heads, relations, tags } = parses[next++]
      return annotate(sentence, { heads, deprels: relations, upos: tags })
    })
    agreement.add(documents[index], ours)
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      data: { type: 'string' },
      documents: { type: 'string', default: '200' },
      precision: { type: 'string', default: 'fp32' },
      reference: { type: 'string', default: 'clearnlp' },
      json: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
    },
  })
  const { model, precision, reference } = values
  const file = values.data ?? path.join(sharedData(), 'enwiki_parsed/enwiki_half.conllu.xz')
  const documents = Number(values.documents)
  if (model === undefined) throw new Error('--model is missing; a checkpoint, run or folder with a parser was expected')
  if (!existsSync(file)) throw new Error(`${file} does not exist; give --data FILE, or set STRATABERT_SHARED`)
  if (!Number.isInteger(documents) || documents < 1)
    throw new Error(`--documents came as ${values.documents}; a whole number ≥ 1 was expected`)
  if (reference !== 'clearnlp' && reference !== 'ud')
    throw new Error(`--reference came as ${reference}; clearnlp or ud was expected`)

  await using encoder = await Encoder.load(model, { device: 'cpu', precision: precision as InferencePrecision })
  const schemes: Record<'reference' | 'parse', LabelScheme> = { reference, parse: 'ud' }
  const agreement = new RelationAgreement(schemes)
  let waiting: ConlluSentence[][] = []
  let done = 0
  const parse = (sentences: string[][]) => encoder.parse(sentences)
  for await (const document of documentsOf(sentencesOf(file), documents)) {
    waiting.push(document)
    if (waiting.length < DOCUMENTS_AT_ONCE) continue
    await addDocuments(agreement, waiting, parse)
    done += waiting.length
    say(`${done} of ${documents} documents`)
    waiting = []
  }
  await addDocuments(agreement, waiting, parse)
  done += waiting.length
  const { words, sentences, relations } = agreement.finish()
  const result = {
    name: 'parse-agreement',
    ...runFacts({}),
    precision: encoder.precision,
    schemes,
    file: path.basename(file),
    documents: done,
    words,
    sentences,
    relations,
  }
  if (values.save) saveResult(result)
  if (values.json) console.log(JSON.stringify(result, null, 2))
  else {
    console.log(`${done} documents; words: ${words.reference} there, ${words.parse} here, ${words.aligned} aligned`)
    console.table(relations)
  }
}

if (require.main === module)
  main().catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
