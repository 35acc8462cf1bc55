import { type Command, Option } from 'commander'
import { StrataError } from '../errors.js'
import {
  CHUNK_KINDS,
  type ChunkedSentence,
  type ConlluSentence,
  chunkRecord,
  chunkSentence,
  formatConllu,
  isConlluName,
  RELATION_PRESETS,
  withChunkMarks,
} from '../text/index.js'
import { example } from './arguments.js'
import { note, printJson, progressNotes } from './output.js'
import { inputSentences } from './sentence-input.js'
import { writeOut } from './write-out.js'

interface ChunkFlags {
  input: string
  from: 'auto' | 'conllu' | 'text'
  output: string
  format?: 'jsonl' | 'conllu'
  preset: keyof typeof RELATION_PRESETS
  json: boolean
}

const BLOCK_CHARACTERS = 1 << 18

export function registerChunk(program: Command): void {
  const command = program
    .command('chunk')
    .description('the chunks of every sentence, and their relations where there is a parse')
    .option('--input <file>', 'CoNLL-U or text with a paragraph a line, also .gz; - for stdin (required)')
    .addOption(
      new Option('--from <kind>', 'what the input is; auto goes by the name .conllu or .conll, else by the first lines')
        .choices(['auto', 'conllu', 'text'])
        .default('auto'),
    )
    .option('--output <file>', 'where the sentences go, gzipped if its name ends in .gz; - is stdout', '-')
    .addOption(
      new Option(
        '--format <format>',
        'a JSON object a line, or marks in the last column of CoNLL-U (default: by the name of the output, else jsonl)',
      ).choices(['jsonl', 'conllu']),
    )
    .addOption(
      new Option('--preset <name>', 'unit and groups of relations')
        .choices(Object.keys(RELATION_PRESETS))
        .default('default'),
    )
    .option('--json', 'print the counts as one JSON document; needs --output FILE', false)
    .action(chunk)
  example(
    command,
    'stratabert chunk --input en_ewt-ud-dev.conllu --output chunks.jsonl',
    'echo "The old man fed his dogs." | stratabert chunk --input - --format conllu',
  )
}

async function chunk(flags: ChunkFlags): Promise<void> {
  if (flags.json && flags.output === '-') {
    throw new StrataError('BAD_ARGUMENT', '--json came without --output FILE, which takes the sentences; add it')
  }
  const format = flags.format ?? (isConlluName(flags.output) ? 'conllu' : 'jsonl')
  const counts = new ChunkCounts()
  const progress = progressNotes()
  await writeOut(flags.output, 'the chunks', async (write) => {
    let block = ''
    for await (const sentence of inputSentences(flags)) {
      const chunked = chunkSentence(sentence, RELATION_PRESETS[flags.preset])
      counts.add(sentence, chunked)
      block +=
        format === 'conllu'
          ? formatConllu(withChunkMarks(sentence, chunked))
          : `${JSON.stringify(chunkRecord(sentence, chunked))}\n`
      if (block.length < BLOCK_CHARACTERS) continue
      await write(block)
      block = ''
      progress.say(`${counts.sentences} sentences, ${counts.words} words`)
    }
    await write(block)
  })
  progress.done()
  if (flags.json) printJson(counts)
  else note(counts.line())
}

/** What was done, for the note at the end. */
class ChunkCounts {
  sentences = 0
  words = 0
  chunks = 0
  /** Sentences that had no parse. */
  withoutParse = 0
  kinds: Record<string, number> = Object.fromEntries(CHUNK_KINDS.map((kind) => [kind, 0]))
  relations: Record<string, number> = {}

  add({ words }: ConlluSentence, { chunks, parsed, groups, targets }: ChunkedSentence): void {
    this.sentences++
    this.words += words.length
    this.chunks += chunks.length
    if (!parsed) this.withoutParse++
    for (const { kind } of chunks) this.kinds[kind]++
    groups.forEach((group, r) => {
      const row = targets.subarray(r * chunks.length, (r + 1) * chunks.length)
      this.relations[group] = (this.relations[group] ?? 0) + row.reduce((sum, to) => sum + Number(to >= 0), 0)
    })
  }

  line(): string {
    const relations = Object.entries(this.relations).map(([group, count]) => `${group} ${count}`)
    const parts = [`${this.sentences} sentences, ${this.words} words, ${this.chunks} chunks`]
    if (relations.length > 0) parts.push(`relations: ${relations.join(', ')}`)
    if (this.withoutParse > 0)
      parts.push(`${this.withoutParse} sentences without a parse: chunks by the lexicon, no relations`)
    return parts.join('; ')
  }
}
