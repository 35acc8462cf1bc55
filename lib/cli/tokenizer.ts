import { type Command, Option } from 'commander'
import { trainTokenizer } from '../data/index.js'
import { expandFiles } from '../recipes/index.js'
import { example, gather, wholeNumber } from './arguments.js'
import { note, printJson, printLines, progressNotes } from './output.js'

interface TokenizerFlags {
  input: string[]
  vocabSize: number
  output: string
  lowercase: boolean
  minFrequency: number
  format: 'auto' | 'titled' | 'plain' | 'jsonl'
  textField: string
  json: boolean
}

export function registerTokenizer(program: Command): void {
  const tokenizer = program.command('tokenizer').description('vocabularies')
  example(tokenizer, 'stratabert tokenizer train --input text.txt --vocab-size 8192 --output my-tokenizer')
  const train = tokenizer
    .command('train')
    .description('learn a WordPiece vocabulary from raw text')
    .option('--input <file>', 'text file (also .jsonl, .gz) or folder, may be repeated (required)', gather)
    .option('--vocab-size <n>', 'number of pieces, special tokens included (required)', wholeNumber(32))
    .option('--output <folder>', 'folder for tokenizer.json, vocab.txt and their settings (required)')
    .option('--no-lowercase', 'keep case and accents')
    .option('--min-frequency <n>', 'rarer pieces are not joined', wholeNumber(1), 2)
    .addOption(
      new Option('--format <format>', 'how documents are laid out')
        .choices(['auto', 'titled', 'plain', 'jsonl'])
        .default('auto'),
    )
    .option('--text-field <name>', 'field of a JSON line that holds the text', 'text')
    .option('--json', 'print one JSON document', false)
    .action(trainVocabulary)
  example(train, 'stratabert tokenizer train --input text.txt --vocab-size 8192 --output my-tokenizer')
}

async function trainVocabulary(flags: TokenizerFlags): Promise<void> {
  const progress = progressNotes()
  const { tokenizer, statistics } = await trainTokenizer({
    inputs: await expandFiles(flags.input),
    vocabSize: flags.vocabSize,
    output: flags.output,
    lowercase: flags.lowercase,
    minFrequency: flags.minFrequency,
    format: flags.format,
    textField: flags.textField,
    onProgress: ({ documents, learned }) =>
      progress.say(
        learned > 0 ? `learning pieces: ${learned} of ${flags.vocabSize}` : `counting words: ${documents} documents`,
      ),
  })
  progress.done()
  const { emptyDocuments, droppedChunks } = statistics
  if (emptyDocuments > 0) note(`${emptyDocuments} documents without text were skipped`)
  if (droppedChunks > 0) note(`${droppedChunks} rare words were left out to bound memory`)
  if (flags.json) return printJson({ output: flags.output, vocabSize: tokenizer.vocabSize, statistics })
  printLines([
    `${tokenizer.vocabSize.toLocaleString('en-US')} pieces in ${flags.output}`,
    ...(tokenizer.vocabSize < flags.vocabSize ? [`the text gives no more; ${flags.vocabSize} were asked for`] : []),
    `try: stratabert train bert-pretrain --output RUN --data corpus=${flags.input[0]} --set tokenizer=${flags.output}`,
  ])
}
