/** Which parser made the trees of CoNLL-U files, as far as the files say it. */
import { commentValue } from '../text/conllu.js'
import { readConllu } from './conllu-file.js'
import { isConlluInput } from './conllu-input.js'
import type { DocumentFormat } from './document-reader.js'

export interface ParseOrigin {
  /** The comment `# generator` of the files' first sentences; `not stated` where there is none. */
  generator: string
  files: string[]
}

const LONGEST_GENERATOR = 200

/** The CoNLL-U files among the inputs by their generator. Of each the first sentence is read. Throws the errors of {@link readConllu}. */
export async function parseOrigins(inputs: readonly string[], format?: DocumentFormat): Promise<ParseOrigin[]> {
  const files = new Map<string, string[]>()
  for (const file of inputs) {
    if (!(await isConlluInput(file, format))) continue
    const generator = await generatorOf(file)
    files.set(generator, [...(files.get(generator) ?? []), file])
  }
  return Array.from(files, ([generator, files]) => ({ generator, files }))
}

async function generatorOf(file: string): Promise<string> {
  for await (const sentence of readConllu(file, { tolerant: true })) {
    // One line of plain text, whatever the file holds: it is printed and goes into the model card.
    const generator = commentValue(sentence, 'generator')
      ?.replaceAll(/[\p{C}\s]+/gu, ' ')
      .trim()
    return generator ? generator.slice(0, LONGEST_GENERATOR) : 'not stated'
  }
  return 'not stated'
}
