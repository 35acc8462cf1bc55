import { type Command, Option } from 'commander'
import { StrataError } from '../errors.js'
import { type EmbedOptions, Encoder } from '../inference/index.js'
import type { InferencePrecision } from '../model/index.js'
import { example, precisionOption, wholeNumber } from './arguments.js'
import { inputLines } from './input-lines.js'
import { note } from './output.js'
import { writeOut } from './write-out.js'

interface EmbedFlags {
  input: string
  pooling: 'mean' | 'cls' | 'max'
  layer?: string
  normalize: boolean
  precision: InferencePrecision
  device: string
  threads?: number
  maxTokens?: number
  truncate: boolean
  batchTokens: number
  output: string
}

/** Texts that are sorted by length together; bounds memory and keeps the output flowing. */
const CHUNK_TEXTS = 512
const CHUNK_CHARACTERS = 1 << 20

export function registerEmbed(program: Command): void {
  const command = program
    .command('embed')
    .description('one vector per input line: a JSON array a line, in input order')
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder')
    .option('--input <file>', 'a file with one text a line, - for stdin (required)')
    .addOption(
      new Option('--pooling <kind>', 'how token states become one vector')
        .choices(['mean', 'cls', 'max'])
        .default('mean'),
    )
    .option(
      '--layer <l>',
      '0 = embedding output, l = output of block l, mix = the learned mix (default: the top layer)',
    )
    .option('--normalize', 'scale vectors to unit length', false)
    .addOption(precisionOption('answering', 'fp32'))
    .option('--device <device>', 'auto, cpu, cuda or cuda:N', 'auto')
    .option('--threads <n>', 'threads of the computation (default: one a processor)', wholeNumber(1))
    .option('--max-tokens <n>', "longest text in tokens (default: the encoder's positions)", wholeNumber(3))
    .option('--no-truncate', 'refuse longer texts instead of cutting them')
    .option('--batch-tokens <n>', 'most tokens computed at once', wholeNumber(1), 4096)
    .option('--output <file>', 'where the vectors go; - is stdout', '-')
    .action(embed)
  example(
    command,
    'stratabert embed runs/first --input sentences.txt --pooling mean --normalize --output vectors.jsonl',
  )
}

async function embed(checkpoint: string, flags: EmbedFlags): Promise<void> {
  await using encoder = await Encoder.load(checkpoint, {
    device: flags.device as 'auto',
    precision: flags.precision,
    threads: flags.threads,
    maxBatchTokens: flags.batchTokens,
  })
  const layer = flags.layer === undefined ? undefined : layerOf(flags.layer)
  const truncated: number[] = []
  let lines = 0
  await writeOut(flags.output, 'the vectors', async (write) => {
    // The next chunk is tokenised and computed while the one before it is written.
    let written: Promise<void> = Promise.resolve()
    for await (const texts of chunks(inputLines(flags.input))) {
      const { pooling, normalize, truncate, maxTokens } = flags
      const result = await embedLines(encoder, texts, { layer, pooling, normalize, truncate, maxTokens }, lines)
      for (const index of result.truncated) truncated.push(lines + index + 1)
      lines += texts.length
      await written
      written = write(result.vectors.map(jsonOf).join(''))
    }
    await written
  })
  if (truncated.length > 0) {
    const shown = truncated.length > 10 ? `${truncated.slice(0, 10).join(', ')} …` : truncated.join(', ')
    note(
      `${truncated.length} of ${lines} texts were cut at ${flags.maxTokens ?? encoder.config.encoder.maxPositions} tokens (lines ${shown})`,
    )
  }
}

/** An error of the encoder speaks of `texts[index]`; here it names the line. */
async function embedLines(encoder: Encoder, texts: string[], options: Parameters<Encoder['embed']>[1], before: number) {
  try {
    return await encoder.embed(texts, options)
  } catch (error) {
    if (!(error instanceof StrataError) || typeof error.details.index !== 'number') throw error
    const line = before + error.details.index + 1
    throw new StrataError(error.code, error.message.replace(/^texts\[\d+\]/, `line ${line}`), {
      cause: error,
      details: { line },
    })
  }
}

function layerOf(text: string): EmbedOptions['layer'] {
  if (/^mix(:.+)?$/.test(text)) return text as 'mix'
  if (!/^\d+$/.test(text))
    throw new StrataError('BAD_ARGUMENT', `--layer came as "${text}", expected a whole number ≥ 0 or mix`)
  return Number(text)
}

async function* chunks(lines: AsyncIterable<string>): AsyncGenerator<string[]> {
  let texts: string[] = []
  let characters = 0
  for await (const line of lines) {
    texts.push(line)
    characters += line.length
    if (texts.length < CHUNK_TEXTS && characters < CHUNK_CHARACTERS) continue
    yield texts
    texts = []
    characters = 0
  }
  if (texts.length > 0) yield texts
}

/** Nine digits bring every float32 back exactly. */
function jsonOf(vector: Float32Array): string {
  return `${JSON.stringify(Array.from(vector, (value) => Number(value.toPrecision(9))))}\n`
}
