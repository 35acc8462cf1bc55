import type { Command } from 'commander'
import { example, gather } from './arguments.js'
import { printJson, printLines } from './output.js'
import { type HeadFlags, headOptions, loadEncoder, textChunks, withPlace } from './text-inputs.js'

interface TagFlags extends HeadFlags {
  text?: string[]
  input?: string
}

export function registerTag(program: Command): void {
  const command = program
    .command('tag')
    .description('a tag for every word of each text')
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder with a tagger')
    .option('--text <text>', 'a text; may be repeated', gather)
    .option('--input <file>', 'one text a line; - reads stdin')
  example(headOptions(command, gather).action(tag), 'stratabert tag runs/ner --text "Ada Lovelace lived in London."')
}

async function tag(checkpoint: string, flags: TagFlags): Promise<void> {
  await using encoder = await loadEncoder(checkpoint, flags)
  const { task, maxTokens } = flags
  const results: unknown[] = []
  let count = 0
  for await (const texts of textChunks(flags)) {
    const tagged = await withPlace(count, () => encoder.tag(texts, { task, maxTokens }))
    count += texts.length
    if (flags.json) results.push(...tagged.map((words, index) => ({ text: texts[index], words })))
    else printLines(tagged.map((words) => words.map(({ word, tag }) => `${word}/${tag}`).join(' ')))
  }
  if (flags.json) printJson(results)
}
