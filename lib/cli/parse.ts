import { basename, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Command, Option } from 'commander'
import { StrataError } from '../errors.js'
import { type Encoder, inOrder, mapInTurns, Turns } from '../inference/index.js'
import { annotate, type ConlluSentence, commentValue, formatConllu, withComment } from '../text/index.js'
import { softwareVersions } from '../training/index.js'
import { example, gather } from './arguments.js'
import { note, printJson, progressNotes } from './output.js'
import { inputSentences, type SentenceInput } from './sentence-input.js'
import { type HeadFlags, headOptions, loadEncoder } from './text-inputs.js'
import { writeOut } from './write-out.js'

interface ParseFlags extends HeadFlags, SentenceInput {
  output: string
}

/** Words that are parsed together; bounds memory and keeps the output flowing. */
const BLOCK_WORDS = 8192
const BLOCKS_AT_ONCE = 3
const RETRY_MS = 50

export function registerParse(program: Command): void {
  const command = program
    .command('parse')
    .description('head and relation of every word, as CoNLL-U')
    .argument('<checkpoint>', 'checkpoint, run or folder with a parser')
    .option('--input <file>', 'CoNLL-U or text with a paragraph a line, also .gz; - for stdin (required)')
    .addOption(
      new Option('--from <kind>', 'what the input is; auto goes by the name .conllu or .conll, else by the first lines')
        .choices(['auto', 'conllu', 'text'])
        .default('auto'),
    )
    .option('--output <file>', 'where the CoNLL-U goes, gzipped if its name ends in .gz; - is stdout', '-')
  example(
    headOptions(command, gather).action(parse),
    'stratabert parse runs/parser --input text.txt --output text.conllu',
    'echo "The old man fed his dogs." | stratabert parse runs/parser --input -',
  )
}

async function parse(checkpoint: string, flags: ParseFlags): Promise<void> {
  if (flags.json && flags.output === '-') {
    throw new StrataError('BAD_ARGUMENT', '--json came without --output FILE, which takes the sentences; add it')
  }
  await using encoder = await loadEncoder(checkpoint, flags)
  const counts = { sentences: 0, words: 0, seconds: 0, wordsPerSecond: 0 }
  const progress = progressNotes()
  const started = performance.now()
  const count = (block: ParsedBlock): void => {
    counts.sentences += block.sentences
    counts.words += block.words
    counts.seconds = (performance.now() - started) / 1000
    counts.wordsPerSecond = counts.words / counts.seconds
  }
  await writeOut(flags.output, 'the parses', async (write) => {
    // While one block is computed another one waits for the model, and a third is read and split.
    const parsed = inOrder(
      blocks(flags, generatorOf(checkpoint)),
      (block) => parsedBlock(encoder, block, flags),
      {},
      BLOCKS_AT_ONCE,
    )
    for await (const block of parsed) {
      await write(block.text)
      count(block)
      progress.say(`${counts.sentences} sentences, ${counts.words} words, ${Math.round(counts.wordsPerSecond)} words/s`)
    }
  })
  progress.done()
  if (flags.json) printJson(counts)
  else
    note(
      `${counts.sentences} sentences, ${counts.words} words in ${counts.seconds.toFixed(1)} s, ${Math.round(counts.wordsPerSecond)} words/s`,
    )
}

/** What made the trees, for whoever trains on them later. */
function generatorOf(checkpoint: string): string {
  const name = basename(resolve(checkpoint)).replaceAll(/[\p{C}\s]+/gu, ' ')
  return `stratabert ${softwareVersions().stratabert}, ${name}`
}

async function* blocks(input: SentenceInput, generator: string): AsyncGenerator<ConlluSentence[]> {
  let block: ConlluSentence[] = []
  let words = 0
  let first = true
  const turns = new Turns()
  for await (const sentence of inputSentences(input)) {
    // The first sentence tells it for the file; what the input said of its trees holds nowhere any more.
    const tells = first || commentValue(sentence, 'generator') !== undefined
    block.push(tells ? withComment(sentence, 'generator', generator) : sentence)
    first = false
    words += sentence.words.length
    await turns.next()
    if (words < BLOCK_WORDS) continue
    yield block
    block = []
    words = 0
  }
  if (block.length > 0) yield block
}

/** Some sentences as they are written. */
interface ParsedBlock {
  sentences: number
  words: number
  text: string
}

/** The sentences with the parser's heads, relations and parts of speech; all else stays. */
async function parsedBlock(encoder: Encoder, block: ConlluSentence[], flags: ParseFlags): Promise<ParsedBlock> {
  const { task, maxTokens } = flags
  const lists = block.map(({ words }) => words.map(({ form }) => form))
  const parses = await whenFree(() => encoder.parse(lists, { task, maxTokens }))
  const texts = await mapInTurns(block, (sentence, index) => {
    const { heads, relations, tags } = parses[index]
    return formatConllu(annotate(sentence, { heads, deprels: relations, upos: tags }))
  })
  const words = block.reduce((sum, sentence) => sum + sentence.words.length, 0)
  return { sentences: block.length, words, text: texts.join('') }
}

/** A block that finds no room in the queue (of words without end) waits for those before it: an empty queue takes any. */
async function whenFree<Result>(ask: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof StrataError) || error.code !== 'OVERLOADED') throw error
      await setTimeout(RETRY_MS)
    }
  }
}
