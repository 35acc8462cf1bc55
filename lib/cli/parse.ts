import { type Command, Option } from 'commander'
import { StrataError } from '../errors.js'
import type { Encoder } from '../inference/index.js'
import { annotate, type ConlluSentence, formatConllu } from '../text/index.js'
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

export function registerParse(program: Command): void {
  const command = program
    .command('parse')
    .description('head and relation of every word, as CoNLL-U')
    .argument('<checkpoint>', 'checkpoint, run or folder with a parser')
    .option('--input <file>', 'CoNLL-U (also .gz), or text with a paragraph a line; - for stdin (required)')
    .addOption(
      new Option('--from <kind>', 'what the input is; auto goes by the name .conllu, or by the first line of stdin')
        .choices(['auto', 'conllu', 'text'])
        .default('auto'),
    )
    .option('--output <file>', 'where the CoNLL-U goes; - is stdout', '-')
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
  const counts = { sentences: 0, words: 0, seconds: 0 }
  const progress = progressNotes()
  const started = performance.now()
  await writeOut(flags.output, 'the parses', async (write) => {
    let running: Promise<ConlluSentence[]> | undefined
    const finish = async (): Promise<void> => {
      const parsed = await running
      if (!parsed) return
      await write(parsed.map((sentence) => formatConllu(sentence)).join(''))
      counts.sentences += parsed.length
      for (const { words } of parsed) counts.words += words.length
      const speed = Math.round((1000 * counts.words) / (performance.now() - started))
      progress.say(`${counts.sentences} sentences, ${counts.words} words, ${speed} words/s`)
    }
    // A block is parsed while the next one is read.
    for await (const block of blocks(flags)) {
      await finish()
      running = parsedBlock(encoder, block, flags)
      running.catch(() => {})
    }
    await finish()
  })
  progress.done()
  counts.seconds = (performance.now() - started) / 1000
  if (flags.json) printJson(counts)
  else note(`${counts.sentences} sentences, ${counts.words} words in ${counts.seconds.toFixed(1)} s`)
}

async function* blocks(input: SentenceInput): AsyncGenerator<ConlluSentence[]> {
  let block: ConlluSentence[] = []
  let words = 0
  for await (const sentence of inputSentences(input)) {
    block.push(sentence)
    words += sentence.words.length
    if (words < BLOCK_WORDS) continue
    yield block
    block = []
    words = 0
  }
  if (block.length > 0) yield block
}

/** The sentences with the parser's heads, relations and parts of speech; all else stays. */
async function parsedBlock(encoder: Encoder, block: ConlluSentence[], flags: ParseFlags): Promise<ConlluSentence[]> {
  const { task, maxTokens } = flags
  const parses = await encoder.parse(
    block.map(({ words }) => words.map(({ form }) => form)),
    { task, maxTokens },
  )
  return block.map((sentence, index) => {
    const { heads, relations, tags } = parses[index]
    return annotate(sentence, { heads, deprels: relations, upos: tags })
  })
}
